"""The JSON documents of a cache: sealed, typed, and parsed with every misfit reported."""
