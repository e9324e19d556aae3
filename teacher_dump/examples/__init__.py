"""Turn documents into examples: segments, span corruption, pairs."""
