"""The judge page: two replies side by side, blind, one key for each choice; and the owner's page of batches.

`views.py` shows pairs and takes choices, `reply_views.py` takes ratings, corrections and flags of one of the two,
`batch_views.py` is the owner's. `showing.py` makes what the templates show, `making.py` fills batches.
"""
