"""Stage two: storage, decoded signals, student forward, losses, checkpoint."""
