"""Models: fetching and loading bases, adapters, one way to attend, packed forward passes."""
