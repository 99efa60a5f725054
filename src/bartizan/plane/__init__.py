"""The parts of the control plane's process that do things: each a small class with one task, which `app.py` puts together."""
