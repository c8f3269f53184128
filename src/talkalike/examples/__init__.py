"""Conversations become tokens: the only place where a chat turns into text for a model, for training and serving alike."""
