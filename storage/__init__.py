"""The cache on disk or in an object store: documents, columns, publishing, integrity. Without torch; see SPEC.md."""
