"""Theorems about cycles, proved in ball arithmetic (extra ``certify``)."""
