"""`miniend filters`: add task-aware filters of the teacher to a finished cache of hidden states."""
