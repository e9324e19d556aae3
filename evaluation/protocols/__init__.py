"""Ways to put a task to a model."""
