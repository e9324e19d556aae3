"""Stage one: corpus, examples, teacher forward, calibration, shards."""
