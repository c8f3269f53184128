"""Tasks by example: look at them, change them, and ask one about a picture.

Judges and viewers see the tasks for everybody, and ask; the owner changes them, and sees those of every server. Tasks
of direct messages are nobody's business here.
"""
