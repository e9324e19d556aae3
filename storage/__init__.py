"""The cache on disk or in an object store: documents, arrays, codecs, integrity. Uses numpy and zarr, no torch; see SPEC.md."""
