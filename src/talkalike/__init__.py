"""talkalike: train an AI that talks like you from your own chat exports, and talk to it."""

__version__ = "0.4.0"
