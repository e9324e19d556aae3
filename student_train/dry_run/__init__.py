"""Measure what a run would take, on a throwaway copy."""
