"""What only tests need, hidden from the processes that they start: those find what users have, and start as fast."""
