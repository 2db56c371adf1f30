"""Dynamics of gradient descent: problems, orbits, cycles, and proofs about them."""
