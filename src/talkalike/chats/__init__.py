"""What people said: values, importers, cleaning, sessions and the archive on disk. Knows nothing of tokens or models."""
