"""How people and programs ask the control plane: over a unix socket for the command line, on loopback for health and metrics."""
