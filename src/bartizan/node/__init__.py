"""The node role: what runs beside an Envoy, serves it, keeps the last good state, and is told of changes by the control plane."""
