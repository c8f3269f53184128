"""A prompt becomes a reply: the `Engine` protocol, the local, remote and scripted engines, and the API server."""
