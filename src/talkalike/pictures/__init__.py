"""Bytes become a safe, upright picture with a hash. Pillow's only home; knows no other room but `errors`."""
