"""The filter of places: asks the databases for the caller's address, and puts what it finds into headers of ours.

What a caller sends under those names is gone by then, so a miss leaves nothing behind: Envoy's filter lets be what it doesn't find. Truths
begin as false, because a database of anonymous networks lists what is one; so they come with the filter, and are missing without it. The
principal's filter lifts what policies ask for into dynamic metadata, and the last filter before the upstream takes the headers out again.
"""

import functools
from collections.abc import Iterable
from typing import Any

from bartizan.envoy import extension, message, names
from bartizan.envoy.filters import header_mutations, in_turn, nothing, typed, where
from bartizan.envoy.matching import source_in
from bartizan.model.gateway import Gateway
from bartizan.model.places import Database, Places

_FILTER = "envoy.extensions.filters.http.geoip.v3.Geoip"
_PROVIDER = "envoy.extensions.geoip_providers.maxmind.v3.MaxMindConfig"
_PATHS: dict[Database, str] = {
    "country": "country_db_path",
    "city": "city_db_path",
    "network": "asn_db_path",
    "operator": "isp_db_path",
    "anonymous": "anon_db_path",
}
_KEYS = {
    "source.country": "country",
    "source.region": "region",
    "source.city": "city",
    "source.asn": "asn",
    "source.operator": "asn_org",
    "source.anonymous": "anon",
    "source.hosting": "anon_hosting",
    "source.vpn": "anon_vpn",
    "source.tor": "anon_tor",
    "source.proxy": "anon_proxy",
}
"""What Envoy calls what is told."""
TRUTHS = "truths"
"""What sets them to false, in the filter."""
_MAPPED = f"{names.PREFIX}unmapped"
_UNMAP = """
function envoy_on_request(handle)
  local address = string.match(handle:streamInfo():downstreamRemoteAddress(), "::ffff:(%d+%.%d+%.%d+%.%d+)")
  if address then handle:headers():replace("HEADER", address) end
end
"""


def place_filter(gateways: Iterable[Gateway]) -> Any:
    """The filter for gateways of which one is served, or several while one follows on another: what the first names counts. It takes the
    address that policies see; for gateways without databases it is nothing."""
    every = tuple(gateways)
    proxied = any(listener.trusted_proxies for gateway in every for listener in gateway.listeners)
    return _made(_merged(gateway.places for gateway in every), proxied)


def _merged(several: Iterable[Places]) -> Places:
    found: dict[str, str] = {}
    for places in several:
        found = {**dict(places.files()), **found}
    return Places(**found)


@functools.lru_cache(maxsize=8)
def _made(places: Places, proxied: bool) -> Any:
    if not (told := places.told()):
        return nothing()
    keys = {_key(name, places): names.place_header(name) for name in told}
    paths = {_PATHS[database]: names.place_file(database, file) for database, file in places.files()}
    provider = extension("envoy.geoip_providers.maxmind", message(_PROVIDER, common_provider_config={"geo_field_keys": keys}, **paths))
    # Without the header it takes the address itself.
    unmapped = {"custom_header_config": {"header_name": _MAPPED}} if proxied else {}
    chain = [typed("found", message(_FILTER, provider=provider, **unmapped))]
    if proxied:
        chain.insert(0, typed("unmapped", _unmapped()))
    if truths := [_false(name) for name, kind in told.items() if kind == "bool"]:
        chain.insert(0, typed(TRUTHS, header_mutations(truths)))
    return in_turn(chain)


def _false(name: str) -> dict[str, Any]:
    """What holds of an address that a database doesn't list."""
    return {"append": {"header": {"key": names.place_header(name), "value": "false"}, "append_action": "ADD_IF_ABSENT"}}


def _unmapped() -> Any:
    """An IPv4 address that a proxy writes in its IPv6 form is looked up as the IPv4 address: not every database knows both."""
    code = _UNMAP.replace("HEADER", _MAPPED)
    lua = message("envoy.extensions.filters.http.lua.v3.Lua", default_source_code={"inline_string": code})
    return where(source_in([("::ffff:0:0", 96)]), "unmapped", lua)


def _key(name: str, places: Places) -> str:
    """An operator is told by its own database if there is one, and otherwise by that of autonomous systems."""
    return "isp" if name == "source.operator" and places.operator is not None else _KEYS[name]
