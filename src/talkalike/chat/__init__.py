"""The conversation pipeline that knows no face: what the model sees and why, and a reply as a stream of events."""
