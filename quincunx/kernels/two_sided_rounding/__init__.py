"""Rounding of blocks with feedback on both sides."""
