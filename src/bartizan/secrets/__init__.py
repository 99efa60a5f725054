"""Envelope encryption: the only place that can open a secret."""
