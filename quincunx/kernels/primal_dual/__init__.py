"""Interior-point steps for entropies over a cluster tree."""
