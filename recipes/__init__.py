"""What uses several stages, or looks across them."""
