"""From documents to examples: segments, span corruption, pairs."""
