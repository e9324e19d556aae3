"""Stage one: corpus, segments, denoising examples, teacher forward, encoded signals, storage."""
