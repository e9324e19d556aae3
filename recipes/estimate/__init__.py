"""What a dump would take, from a small trial."""
