"""Trainings: watch them, start and stop them as jobs, compare them; the models they made, and which one serves.

Nothing is trained, and no model is loaded, in this process: the page reads the workspace's files and starts programs.
"""
