"""Databases of places for tests, as a vendor would build them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet


def write(path: Path, told: Mapping[str, Mapping[str, Any]], kind: str = "Test-City") -> None:
    """A database that tells this of these networks; put in the place of what is there by one rename."""
    writer = MMDBWriter(ip_version=6, database_type=kind, ipv4_compatible=True, int_type="u32")
    for network, data in told.items():
        writer.insert_network(IPSet([network]), dict(data))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".new")
    writer.to_db_file(str(partial))
    os.replace(partial, path)


def city(country: str, region: str = "", name: str = "") -> dict[str, Any]:
    """What a database of cities tells of a network."""
    found: dict[str, Any] = {"country": {"iso_code": country}}
    if region:
        found["subdivisions"] = [{"iso_code": region}]
    if name:
        found["city"] = {"names": {"en": name}}
    return found


CITIES = {
    "198.51.100.0/24": city("DE", "BY", "Munich"),
    "203.0.113.0/24": city("NO", "03", "Oslo"),
    "192.0.2.0/25": city("BR", "SP", "São Paulo"),
    "2001:db8:de::/48": city("DE", "BE", "Berlin"),
}
NETWORKS = {
    "198.51.100.0/24": {"autonomous_system_number": 64512, "autonomous_system_organization": "Example Net"},
    "203.0.113.0/24": {"autonomous_system_number": 4200000001, "autonomous_system_organization": "Far Net"},
}
ANONYMOUS = {
    "198.51.100.128/26": {"is_anonymous": True, "is_anonymous_vpn": True, "is_tor_exit_node": True, "is_public_proxy": True},
    "203.0.113.64/26": {"is_hosting_provider": True},
}


def write_all(folder: Path) -> None:
    """`City.mmdb`, `ASN.mmdb` and `Anonymous.mmdb`."""
    write(folder / "City.mmdb", CITIES)
    write(folder / "ASN.mmdb", NETWORKS, "Test-ASN")
    write(folder / "Anonymous.mmdb", ANONYMOUS, "Test-Anonymous-IP")
