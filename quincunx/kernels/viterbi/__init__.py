"""Shortest paths through a bitshift trellis."""
