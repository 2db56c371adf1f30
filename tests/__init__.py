"""Tests of the package; the folders below mirror it."""
