"""Who is asking: the API keys of consumers, and the one principal that every kind of credential ends in."""
