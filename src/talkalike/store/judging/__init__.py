"""What people think of replies: one store for every face, and honest statistics of it."""
