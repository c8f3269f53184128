"""Long local work that outlives whoever asked for it: started, watched and stopped from outside; and what runs wrote.

A job has a folder. In it lie `job.json` (what was started, by whom, and how it stands), `log.txt` (all it printed) and,
once somebody asked it to end, `stop.json`. Between the program and whoever started it stands a small keeper process
that waits for it, notes how it ended, and is the only one that sends it signals: so the website may be restarted, and
an ended job is told from a lost one. `runs` reads the state of the runs in a workspace.
"""
