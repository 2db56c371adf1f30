"""Walsh-Hadamard transforms of rows in place."""
