"""What a teacher signal is: family facts of T5, taps, and the mathematics. Uses torch; touches no file."""
