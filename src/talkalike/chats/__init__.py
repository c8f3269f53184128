"""What people said: values, importers, cleaning, sessions and the archive on disk. Knows no tokens, no models."""
