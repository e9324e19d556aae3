"""Smaller models that are prefixes of a larger one: the first heads and the first neurons of every matrix.

The method is MiniDisc's (Zhang et al., arXiv 2205.14570), with equal widths in all layers, so that each is an ordinary model.
"""
