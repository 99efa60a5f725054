"""What Envoy can't decide itself about a request, asked of a process beside it: proofs of possession (DPoP), and whose a token is that
tells nothing itself (RFC 7662).

Only requests that bring such a proof or such a token are asked about. It is a process of its own, so that neither holds up a node, and it
begins in earnest only when it is needed.
"""
