"""What uses several stages, or looks across them: the demo, and the inspection of a cache."""
