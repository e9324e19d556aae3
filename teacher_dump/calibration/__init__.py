"""Fit the codes once per cache, and report what that shows about the teacher."""
