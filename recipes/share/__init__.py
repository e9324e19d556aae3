"""Sharing on the Hugging Face hub: upload a cache as a data set, and a student as a model."""
