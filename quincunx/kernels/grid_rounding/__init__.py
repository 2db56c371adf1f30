"""Rounding of a block of columns to a grid of points, row by row."""
