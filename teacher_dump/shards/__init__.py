"""Run the teacher over the examples of a shard and turn its signals into columns."""
