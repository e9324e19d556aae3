"""Running a comparison: plan, training, evaluation, shared by several processes."""
