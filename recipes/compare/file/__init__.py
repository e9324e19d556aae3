"""Read the YAML file of a comparison, complete it from its preset, and check it."""
