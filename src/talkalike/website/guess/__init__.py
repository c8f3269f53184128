"""The friends' blind test: a moment that was kept back from training, two replies, and which one is really theirs?

`views.py` asks and shows what came of it, `round_views.py` is the owner's. Rounds are made by `talkalike guess make`.
"""
