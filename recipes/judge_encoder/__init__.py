"""`miniend judge-encoder`: how near an encoder's final states are to its teacher's, on the unseen texts of a cache."""
