"""Examples become an adapter: one visible loop, pure losses, one flat recipe per method."""
