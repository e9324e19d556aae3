"""`miniend schedule`: assistants of several sizes learn together, and the best trade-off of score and size is taken."""
