"""What the authorization server needs of the gateway around it."""

from typing import Protocol

from bartizan.model.authorization import AuthorizationServer
from bartizan.model.fields import SecretRef
from bartizan.model.named import Use


class Around(Protocol):
    """The gateway. Its methods may be called from any thread."""

    def declared(self) -> AuthorizationServer | None:
        """As the active revision declares it; None if there is none."""

    def gateway_name(self) -> str:
        """What people are shown as the gateway's name."""

    def secret(self, reference: SecretRef, use: Use) -> str:
        """What a reference leads to. One of `identity.referred.UNREADABLE`, or a BartizanError, if it leads nowhere."""

    def block(self, claim: str, value: str, until: float, reason: str) -> None:
        """Has every node refuse tokens with this `jti` ("token") or `sid` ("session") until then, in seconds since the epoch."""

    def refused(self, target: str, origin: str) -> None:
        """Notes in the audit log, bounded, that somebody failed to show who they are."""

    def note(self, actor: str, action: str, target: str, origin: str, **details: str) -> None:
        """Notes in the audit log that somebody did something."""
