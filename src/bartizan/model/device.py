"""Device: what someone calls with, known by a certificate, a key or a passkey of its own."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bartizan.model.fields import AsTuple, Declared, Name

State = Literal["pending", "trusted", "lost"]


class Device(Declared):
    """A machine that is enrolled. Live data: an edit holds within a second and isn't a revision."""

    kind: Literal["Device"] = "Device"
    name: Name = Field(description="The device's id: `device.id` in conditions.")
    certificates: Annotated[tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...], AsTuple] = Field(
        default=(), max_length=10, description="SHA-256 of its client certificates, in hex: the one it has, and the one that follows."
    )
    keys: Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")], ...], AsTuple] = Field(
        default=(), max_length=10, description="Thumbprints (RFC 7638) of its keys for proofs of possession (DPoP)."
    )
    passkeys: Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")], ...], AsTuple] = Field(
        default=(),
        max_length=10,
        description="Its passkeys at the authorization server (WebAuthn), as `bartizan people passkeys` tells them.",
    )
    state: State = Field(
        default="pending",
        description="pending: known, not yet trusted; trusted: `device.trusted` holds; lost: all that it asks is refused.",
    )
    description: str = Field(default="", max_length=256, description="For people: whose it is, what it is.")

    @model_validator(mode="after")
    def _provable(self) -> "Device":
        if not self.certificates and not self.keys and not self.passkeys:
            raise ValueError("a device is known by one of its `certificates`, `keys` or `passkeys`")
        return self
