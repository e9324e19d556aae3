"""Attention relations: their KL divergence, what errors cost, and the fit of a site's codes."""
