"""Fitting the codes once per cache, and what that says about the teacher."""
