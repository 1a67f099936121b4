"""Catalogs: where data and models are found. `data/` and `models/` hold what ships."""
