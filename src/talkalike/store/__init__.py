"""What must outlive a restart: a Django app over SQLite or Postgres, behind plain functions."""
