"""The demo: the whole story on Python's own documentation."""
