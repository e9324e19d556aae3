"""The families of models that can teach and learn."""
