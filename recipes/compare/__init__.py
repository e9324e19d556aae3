"""`miniend compare`: which objective, which size, how good; every row from one cache, with equal steps and seeds."""
