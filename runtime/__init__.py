"""Tools for long work on a machine: registries, devices, progress, signals, claims and durable files."""
