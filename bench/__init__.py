"""Measures what the product promises about speed and size: `python -m bench [--quick] [KEY ...]`. One module per group of figures."""
