"""Recipes: commands that use several stages."""
