"""What an operator declares: frozen values, and nothing about how they are enforced."""
