"""Rows of a site as small integers: the code, its fit, its quantizer."""
