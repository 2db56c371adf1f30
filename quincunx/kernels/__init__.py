"""Loops over arrays that must be fast: one folder an operation."""
