"""The kinds of signals that a site can store."""
