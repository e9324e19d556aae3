"""Publish a folder whole or not at all, on a disk and in an object store."""
