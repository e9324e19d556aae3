"""Task-aware filters (TED, arXiv 2210.01351): the part of a layer's states that the model's own task uses."""
