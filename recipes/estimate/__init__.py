"""Estimate the bytes and hours of a dump from a small trial."""
