"""The cache on disk: documents, arrays, integer codecs, integrity. Uses numpy and zarr, no torch; SPEC.md is the format."""
