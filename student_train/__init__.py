"""Stage two: read shards, decode signals, train students, write checkpoints."""
