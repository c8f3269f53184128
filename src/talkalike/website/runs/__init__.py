"""Runs: watch them, start and stop them as jobs, compare them; the models they produced, and which one is in use.

Nothing is trained, and no model is loaded, in this process: the page reads the workspace's files and starts programs.
"""
