"""Judging a checkpoint: fine-tuning on GLUE and summarisation, scores over seeds, and what the model costs."""
