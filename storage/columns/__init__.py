"""Columns: flat arrays, one Zarr array each, and the layouts of lists in them."""
