"""What happened: the records that Envoy writes, read back."""
