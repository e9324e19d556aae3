"""The teacher over the examples of a shard, and its signals as columns."""
