"""Matching of states: how far a linear map of a student's tensor is from a teacher's, token by token."""
