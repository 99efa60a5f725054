"""What Envoy can't decide itself about a request, asked of a process beside it: proofs of possession (DPoP).

Only requests that bring such a proof are asked about. It is a process of its own, so that proofs hold up no node, and it begins in earnest
only when some policy needs it.
"""
