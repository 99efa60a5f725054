"""The operations of the admin API, a file for each thing they are about: a `router`, and a line in `ROUTERS`."""

from bartizan.admin.routes import audit, blocks, resources, revisions, rollouts, status, tokens

ROUTERS = tuple(one.router for one in (status, resources, revisions, rollouts, blocks, audit, tokens))
"""In the order of the published document."""
