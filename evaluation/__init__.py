"""Judging a checkpoint: fine-tuning on tasks of language understanding, scores over seeds, and what the model costs."""
