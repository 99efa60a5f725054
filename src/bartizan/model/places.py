"""Places: databases in MaxMind's format that tell where an address is and whose network it belongs to, and what each of them tells."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Literal

from pydantic import Field

from bartizan.model import countries
from bartizan.model.fields import Declared

PlaceType = Literal["string", "number", "bool"]
Database = Literal["country", "city", "network", "operator", "anonymous"]

PLACES: Mapping[str, PlaceType] = MappingProxyType(
    {
        "source.country": "string",
        "source.region": "string",
        "source.city": "string",
        "source.asn": "number",
        "source.operator": "string",
        "source.anonymous": "bool",
        "source.hosting": "bool",
        "source.vpn": "bool",
        "source.tor": "bool",
        "source.proxy": "bool",
    }
)
"""All that databases tell of a caller's address, by the names that conditions use."""

TELLS: Mapping[Database, tuple[str, ...]] = MappingProxyType(
    {
        "country": ("source.country",),
        "city": ("source.country", "source.region", "source.city"),
        "network": ("source.asn", "source.operator"),
        "operator": ("source.asn", "source.operator"),
        "anonymous": ("source.anonymous", "source.hosting", "source.vpn", "source.tor", "source.proxy"),
    }
)
"""What each database tells."""

_LONGEST = 200

UNKNOWN = "unknown"
"""What stands for a truth that isn't known, wherever places are written as texts."""


def place_text(name: str, value: object) -> str:
    """What somebody says that a database tells (`country`, without `source.`), as a text. ValueError for what none can tell."""
    kind = PLACES.get(f"source.{name}")
    if kind is None:
        raise ValueError(f"databases tell no {name!r}: they tell {', '.join(one.removeprefix('source.') for one in PLACES)}")
    if kind == "bool":
        return _truth(name, value)
    text = str(value) if not isinstance(value, bool) else ""
    if kind == "number" and not (text.isascii() and text.isdecimal() and len(text) <= 10):
        raise ValueError(f"{name} is the number of a network, such as 64512")
    if not text or not text.isprintable() or len(text) > _LONGEST:
        raise ValueError(f"{name} is a text of at most {_LONGEST} characters; leave it out if it isn't known")
    if name == "country" and text not in countries.CODES:
        raise ValueError(f"{text!r} is not the code of a country: {countries.hint(text)}")
    return text


def _truth(name: str, value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else value
    if text not in ("true", "false", UNKNOWN):
        raise ValueError(f"{name} is true, false or {UNKNOWN}")
    return str(text)


def is_place(name: str) -> bool:
    """Whether this names something that databases tell."""
    return name in PLACES


class Places(Declared):
    """Databases in MaxMind's format (`.mmdb`). Relative names start from the folder of these files."""

    country: str | None = Field(default=None, min_length=1, description="Tells `source.country`.")
    city: str | None = Field(default=None, min_length=1, description="Tells `source.country`, `source.region` and `source.city`.")
    network: str | None = Field(default=None, min_length=1, description="Autonomous systems: tells `source.asn` and `source.operator`.")
    operator: str | None = Field(default=None, min_length=1, description="Operators (ISPs): tells `source.operator` and `source.asn`.")
    anonymous: str | None = Field(
        default=None,
        min_length=1,
        description="Anonymous networks: tells `source.anonymous`, `source.hosting`, `source.vpn`, `source.tor` and `source.proxy`.",
    )

    def files(self) -> Iterator[tuple[Database, str]]:
        """The databases that are named, with their files."""
        for database in TELLS:
            if (file := getattr(self, database)) is not None:
                yield database, file

    def told(self) -> dict[str, PlaceType]:
        """What they tell, with its types."""
        named = {name for database, _ in self.files() for name in TELLS[database]}
        return {name: kind for name, kind in PLACES.items() if name in named}
