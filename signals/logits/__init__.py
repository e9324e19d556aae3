"""Next-token distributions: sparse lists, their code, and the losses on them."""
