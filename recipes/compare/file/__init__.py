"""The YAML file of a comparison: read, completed by its preset, and checked."""
