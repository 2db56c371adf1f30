"""Benchmarks: one file a claim, each with a named peer that does the same work in the same run."""
