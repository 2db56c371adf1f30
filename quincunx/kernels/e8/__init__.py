"""Nearest points of E8P, the 65,536 points of E8 + 1/4 that QuIP# codes eight weights with."""
