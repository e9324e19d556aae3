"""The teacher's and the student's model: families, loading, sizes, starts, saving, padding, optimizers."""
