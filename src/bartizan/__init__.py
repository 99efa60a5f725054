"""Bartizan: an API and AI gateway whose security policies can be changed without fear."""

__version__ = "0.1.0"
