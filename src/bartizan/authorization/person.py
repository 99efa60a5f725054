"""Person: somebody who has logged in, and how."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

PHISHING_RESISTANT = "phr"
"""The authentication context (`acr`) of a passkey, as the OpenID Connect EAP ACR Values call it."""
TWO_FACTORS = "mfa"
"""That of a password with a code."""
OUTSIDE = "out_"
"""How the ids begin of people who are known elsewhere."""
LEVELS = {"": 0, TWO_FACTORS: 1, PHISHING_RESISTANT: 2}


@dataclass(frozen=True, slots=True)
class Person:
    """What a login came to. Times are seconds since the epoch."""

    id: str
    """What tokens call them (`sub`)."""
    name: str
    """What the audit log and people call them."""
    title: str
    groups: tuple[str, ...]
    acr: str
    amr: tuple[str, ...]
    """How they logged in (RFC 8176)."""
    at: float
    """When they logged in last (`auth_time`)."""
    sid: str
    """Their session, as tokens tell it."""
    until: float
    """When the session ends."""
    passkey: str = ""
    """The one with which they logged in, as `thumbprint` tells it, if it lives on one device: so it tells the device."""
    outside: str = ""
    """The provider elsewhere that knows them; empty: they have an account here."""

    def reaches(self, wanted: str) -> bool:
        """Whether they logged in as strongly as this `acr` says. One that isn't known is reached by nobody."""
        return wanted in LEVELS and LEVELS[self.acr if self.acr in LEVELS else ""] >= LEVELS[wanted]

    def get_user_id(self) -> str:
        """What authlib asks for."""
        return self.id

    def kept(self) -> dict[str, Any]:
        """As it is kept."""
        return {**asdict(self), "groups": list(self.groups), "amr": list(self.amr)}


def person(kept: Mapping[str, Any]) -> Person:
    """What was kept so."""
    return Person(**{**kept, "groups": tuple(kept["groups"]), "amr": tuple(kept["amr"])})
