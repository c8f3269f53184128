"""What lies on disk: cards, run folders and their states, and one way to write a file that must survive."""
