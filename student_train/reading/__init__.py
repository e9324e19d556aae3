"""Turn published shards into batches, in shuffled order, ahead of the step."""
