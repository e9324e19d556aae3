"""Evaluate a checkpoint: fine-tuning on GLUE and summarization, scores over seeds, and what the model costs."""
