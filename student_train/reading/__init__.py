"""From published shards to batches, in shuffled order, ahead of the step."""
