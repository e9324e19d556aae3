"""The places of a cache: a local directory, or an object store with its mirror."""
