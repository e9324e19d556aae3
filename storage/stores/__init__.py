"""Where a cache is: a local directory, or an object store with its mirror."""
