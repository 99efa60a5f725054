"""Tools without domain knowledge; each could be another project's."""
