"""What is in a cache, how large and how faithful, as text and as pictures."""
