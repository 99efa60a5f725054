"""Unit tests of the scratch instance."""
