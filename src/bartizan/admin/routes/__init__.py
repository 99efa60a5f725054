"""The operations of the admin API, a file for each thing they are about: a `router`, and a line in `ROUTERS`."""

from bartizan.admin.routes import (
    accounts,
    audit,
    blocks,
    context,
    explain,
    keys,
    proposals,
    resources,
    revisions,
    rollouts,
    secrets,
    status,
    tokens,
    trials,
)

_ALL = (status, resources, proposals, revisions, rollouts, trials, explain, blocks, keys, secrets, context, audit, tokens, accounts)
ROUTERS = tuple(one.router for one in _ALL)
"""In the order of the published document."""
