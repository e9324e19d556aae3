"""Show what is in a cache, how large it is and how faithful, as text and as pictures."""
