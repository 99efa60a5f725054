"""Covering: a policy that covers a request, as explanations name it, in the order of the chain."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["decides", "counts", "configures"]


@dataclass(frozen=True, slots=True)
class Covering:
    """One policy of those that cover a request."""

    policy: str
    """Its id, such as `Authorize/refunds`."""
    role: Role
    """decides: it says allowed or denied; counts: it counts against a limit; configures: it is never asked."""
    shadow: bool = False
