"""What uses several stages: the demo."""
