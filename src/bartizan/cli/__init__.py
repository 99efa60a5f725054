"""The command line. Each command is one file in `commands`."""
