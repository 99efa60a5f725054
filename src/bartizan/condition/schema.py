"""What a condition may read, and where a gateway takes time and source address from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Self

from bartizan.model.gateway import Gateway
from bartizan.model.places import PLACES

AttributeType = Literal["string", "number", "bool", "list", "words"]
"""`words` is a list which a token may also tell as one string of words, as `scope` does (RFC 6749, section 3.3)."""
LISTS: frozenset[AttributeType] = frozenset(("list", "words"))

RESERVED: Mapping[str, AttributeType] = MappingProxyType(
    {"id": "string", "method": "string", "issuer": "string", "groups": "list", "bound": "string"}
)
"""What every principal may have, beside the attributes that a gateway declares."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Schema:
    """The attributes that a gateway declares for its principals, with their types; and what its databases tell of callers' addresses."""

    attributes: Mapping[str, AttributeType] = field(default_factory=dict)
    places: frozenset[str] = frozenset()
    """Names of `PLACES`."""

    def __post_init__(self) -> None:
        for name in self.attributes:
            if name in RESERVED or name in DEVICE or not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} can't be the name of an attribute: reserved, or not a name")
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))

    @classmethod
    def of(cls, gateway: Gateway) -> Self:
        """What the conditions of this gateway may read."""
        return cls(gateway.attributes, frozenset(gateway.places.told()))

    def names(self) -> dict[str, AttributeType]:
        """Everything below `principal`, by name."""
        return {**RESERVED, **self.attributes}

    def told(self) -> dict[str, AttributeType]:
        """What databases tell, by names such as `source.country`."""
        return {name: kind for name, kind in PLACES.items() if name in self.places}


@dataclass(frozen=True, slots=True)
class Sources:
    """Where time and source address come from: reality in production, headers of ours in a scratch instance."""

    time: Literal["clock", "header"] = "clock"
    address: Literal["connection", "header"] = "connection"


TIME_HEADER = "x-bartizan-now"
"""RFC 3339, in a scratch instance."""

ADDRESS_HEADER = "x-bartizan-source"
"""An address in its canonical text form, in a scratch instance."""

JA4_HEADER = "x-bartizan-ja4"
"""The caller's TLS fingerprint, set by the gateway."""

DEVICE: Mapping[str, AttributeType] = MappingProxyType({"device_id": "string", "device_trusted": "bool"})
"""What is noted of the device beside the principal: `device.id` and `device.trusted`."""

NOTED = (*DEVICE, "bound")
"""What is noted beside id, groups and attributes, if something asks for it."""

OWN_HEADERS = "x-bartizan-"
"""Headers that begin so are the gateway's own; conditions can't read them."""

NAMESPACE = "bartizan.principal"
"""The dynamic metadata namespace that holds the principal, and under names such as `source.country` where it calls from."""
