"""The JSON documents of a cache: we seal them, give them types, and report every misfit when we read them."""
