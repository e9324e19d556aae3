"""`miniend prune-teacher`: sort a teacher's heads and neurons by importance, so that any prefix of it is a smaller model."""
