"""Serves routes without authentication: the only way to do so, and it wants a reason.

```yaml
kind: Public
name: orders-health
target: {api: orders, paths: [/orders/health]}
reason: the load balancer of our partner checks it and has no credentials
```

A route that an enforced `Authenticate` covers stays closed whatever `Public` says: write `except` there and `Public` here.
Credentials that a caller sends to a public route are stripped, not judged. Where the upstream itself judges the header `authorization`,
as an authorization server does with its clients' secrets, `forward_authorization: true` leaves it that one, and tells it the
caller's address in `x-bartizan-caller`. In shadow it doesn't open anything.
It runs in Envoy and costs nothing.
"""

from typing import ClassVar, Literal

from pydantic import Field

from bartizan.policies._kind import Fragment, Phase, Place, PolicyKind


class Public(PolicyKind):
    """Serve without authentication."""

    kind: Literal["Public"] = "Public"
    phase: ClassVar[Phase] = Phase.AUTHENTICATION

    reason: str = Field(min_length=10, max_length=500, description="Why anyone may call; shown in `status` and in reviews.")
    forward_authorization: bool = Field(
        default=False, description="Whether the upstream gets the header `authorization` as the caller sent it, to judge it itself."
    )

    def compile(self, place: Place) -> Fragment:
        return Fragment()
