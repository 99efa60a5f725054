"""The operations of the admin API, a file for each thing they are about: a `router`, and a line in `ROUTERS`."""

from bartizan.admin.routes import audit, blocks, context, explain, keys, resources, revisions, rollouts, secrets, status, tokens, trials

ROUTERS = tuple(
    one.router for one in (status, resources, revisions, rollouts, trials, explain, blocks, keys, secrets, context, audit, tokens)
)
"""In the order of the published document."""
