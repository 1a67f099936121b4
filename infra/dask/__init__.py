"""Recipes for Dask clusters."""
