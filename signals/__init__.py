"""What a teacher signal is: sites, kinds, codes and the mathematics. Uses torch; touches no file."""
