"""Pictures that people sent, the words an eye found for them, and tasks by example."""
