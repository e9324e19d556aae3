"""The demo: both stages on Python's own documentation."""
