"""Inference in probabilistic dependency graphs: compiled problems and methods."""
