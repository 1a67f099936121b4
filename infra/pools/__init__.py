"""Work pools: where deployed flows run."""
