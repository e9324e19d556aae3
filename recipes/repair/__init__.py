"""Verifying a cache, and dumping again what is damaged."""
