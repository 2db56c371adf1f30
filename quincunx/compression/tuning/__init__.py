"""Training of what is not codes: signs, scales, norms, and weights that are not rounded yet."""
