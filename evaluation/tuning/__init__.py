"""Fine-tuning and generation."""
