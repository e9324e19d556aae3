"""Protocols: ways to present a task to a model."""
