"""The life of a revision: from settled files to what Envoy is told, and what an edit loosens."""
