"""An issuer that is asked about tokens, as the node tells it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson


@dataclass(frozen=True, slots=True)
class Issuer:
    """Where it is asked and as whom, what has to hold of its tokens, and where their claims go. Times are in seconds."""

    name: str
    issuer: str
    """The `iss` of its tokens."""
    audiences: tuple[str, ...]
    skew_s: float
    subject: str
    """The header that takes the subject."""
    headers: Mapping[str, str]
    """Headers, and the claim that each takes; a dot leads into a claim."""
    url: str
    client_id: str
    client_secret: str | None = field(repr=False)
    """None: it can't be read, so nothing is asked."""
    post: bool
    """Whether id and secret stand in the form."""
    cache_s: float
    timeout_s: float
    per_second: int


def issuers(note: bytes) -> dict[str, Issuer]:
    """The issuers of a note (`identity/introspection.py`), by name. ValueError if it is none."""
    try:
        told = orjson.loads(note)["issuers"]
        return {one["name"]: Issuer(**{**one, "audiences": tuple(one["audiences"])}) for one in told}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ValueError("what the node tells of issuers can't be read") from None
