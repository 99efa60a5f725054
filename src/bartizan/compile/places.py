"""The filter of places: asks the databases for the caller's address, and puts what it finds into headers of ours.

What a caller sends under those names is gone by then, so a miss leaves nothing behind: Envoy's filter lets be what it doesn't find. Truths
begin as false, because a database of anonymous networks lists what is one; so they come with the filter, and are missing without it. The
principal's filter lifts what policies ask for into dynamic metadata, and the last filter before the upstream takes the headers out again.
"""

from collections.abc import Iterator
from typing import Any

from bartizan.envoy import extension, message, names
from bartizan.envoy.filters import execute, fixed
from bartizan.envoy.matching import source_in
from bartizan.model.gateway import Gateway, Listener
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
_MAPPED = f"{names.PREFIX}unmapped"
_UNMAP = """
function envoy_on_request(handle)
  local address = string.match(handle:streamInfo():downstreamRemoteAddress(), "::ffff:(%d+%.%d+%.%d+%.%d+)")
  if address then handle:headers():replace("HEADER", address) end
end
"""


def place_filters(gateway: Gateway, listener: Listener) -> list[Any]:
    """The filters; none for a gateway without databases. They take the address that policies see."""
    places = gateway.places
    if not (told := places.told()):
        return []
    keys = {_key(name, places): names.place_header(name) for name in told}
    paths = {_PATHS[database]: names.place_file(database, file) for database, file in places.files()}
    provider = extension("envoy.geoip_providers.maxmind", message(_PROVIDER, common_provider_config={"geo_field_keys": keys}, **paths))
    if not listener.trusted_proxies:
        return [fixed(names.PLACES, message(_FILTER, provider=provider))]
    # Without the header it takes the address itself.
    found = message(_FILTER, provider=provider, custom_header_config={"header_name": _MAPPED})
    return [fixed(names.MAPPED, _unmapped()), fixed(names.PLACES, found)]


def _unmapped() -> Any:
    """An IPv4 address that a proxy writes in its IPv6 form is looked up as the IPv4 address: not every database knows both."""
    code = _UNMAP.replace("HEADER", _MAPPED)
    lua = message("envoy.extensions.filters.http.lua.v3.Lua", default_source_code={"inline_string": code})
    matchers = [{"predicate": source_in([("::ffff:0:0", 96)]), "on_match": {"action": execute(names.MAPPED, lua)}}]
    return message("envoy.extensions.filters.http.composite.v3.Composite", matcher={"matcher_list": {"matchers": matchers}})


def defaults(gateway: Gateway) -> Iterator[dict[str, Any]]:
    """Early mutations: what holds of an address that a database doesn't list."""
    for name, kind in gateway.places.told().items():
        if kind == "bool":
            yield {"append": {"header": {"key": names.place_header(name), "value": "false"}, "append_action": "ADD_IF_ABSENT"}}


def _key(name: str, places: Places) -> str:
    """An operator is told by its own database if there is one, and otherwise by that of autonomous systems."""
    return "isp" if name == "source.operator" and places.operator is not None else _KEYS[name]
