"""Judging where one talks: thumbs, the form, two answers side by side, and the friends' blind test."""
