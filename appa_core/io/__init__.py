"""Reading and writing: the only place that knows xarray, zarr, fsspec and file formats."""
