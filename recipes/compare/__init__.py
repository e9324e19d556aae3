"""`miniend compare`: train every row of a table from one cache, with equal steps and seeds, and evaluate it."""
