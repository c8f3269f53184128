"""What we own: the catalog of models with their cards, fetching and loading bases, adapters, packed forward passes."""
