"""One student's run: its directory, checkpoints, metrics, validation and model card."""
