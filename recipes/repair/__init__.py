"""Verify a cache, and dump again what is damaged."""
