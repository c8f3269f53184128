"""Conversations become tokens: the only place where a chat turns into text for a model, to train and to serve."""
