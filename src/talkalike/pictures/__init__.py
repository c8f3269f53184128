"""Pictures that people send become safe, upright ones of ours. Pillow's only home; knows no room but `errors`."""
