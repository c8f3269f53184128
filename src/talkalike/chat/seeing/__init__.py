"""Pictures and questions about them: tasks by example, how they are written for a model, and who answers."""
