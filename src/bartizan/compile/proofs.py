"""What is found out of a request beside Envoy (proofs, opaque tokens), and which device it is by what was proven or told."""

import functools
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bartizan.envoy import extension, message, names
from bartizan.envoy.filters import execute, header_mutations, in_turn, nothing, overwrite, typed, where
from bartizan.envoy.matching import any_of, header
from bartizan.model.consumer import Issuer

_HTTP = "envoy.extensions.filters.http"
_HEADER = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
_PRESENT = {"safe_regex": {"google_re2": {}, "regex": r"\C*"}}
Devices = Mapping[str, tuple[str, str]]
"""By what they are known: the name of each, and its state."""


def proofs(bound: Collection[str], issuers: Iterable[Issuer], keys: Devices, passkeys: Devices) -> Any:
    """What is found out of requests beside Envoy, and which device it is whose key a proof was made with (`keys`: by their thumbprints), or
    whose passkey a login."""
    asked = callout(bound, issuers)
    shown = tuple(sorted(keys.items())) if "dpop" in bound else ()
    if not shown and not passkeys:
        return asked
    told = _keyed(shown, tuple(sorted(passkeys.items())))
    return told if asked == nothing() else in_turn([typed(names.CALLOUT, asked), typed(names.KEYED, told)])


_Known = tuple[tuple[str, tuple[str, str]], ...]


@functools.lru_cache(maxsize=4)
def _keyed(keys: _Known, passkeys: _Known) -> Any:
    """Kept, because few edits are about devices."""
    proven, told = header(names.H_PROOF, exact="dpop"), header(names.H_PASSKEY, **_PRESENT)
    matchers = [_device_of(proven, names.H_JKT, keys)] if keys else []
    matchers += [_device_of(told, names.H_PASSKEY, passkeys)] if passkeys else []
    return message(f"{_HTTP}.composite.v3.Composite", matcher={"matcher_list": {"matchers": matchers}})


def _device_of(predicate: Any, stands_in: str, devices: _Known) -> dict[str, Any]:
    """The device that a header tells, if it is told at all."""
    by_key = {key: {"action": execute(names.KEYED, header_mutations(_noting(*told)))} for key, told in devices}
    found = message("xds.core.v3.TypedExtensionConfig", **extension("device", message(_HEADER, header_name=stands_in)))
    tree = {"matcher_tree": {"input": found, "exact_match_map": {"map": by_key}}}
    return {"predicate": predicate, "on_match": {"matcher": tree}}


def _noting(device: str, state: str) -> list[dict[str, Any]]:
    told = [overwrite(names.H_KEYED, device), overwrite(names.H_KEYED_TRUSTED, "true" if state == "trusted" else "false")]
    return [*told, overwrite(names.H_VERDICT, "lost")] if state == "lost" else told


def lost(devices: Devices) -> list[tuple[str, Any]]:
    """What refuses requests that are proven by a lost device's key or passkey."""
    return [("lost-device", header(names.H_VERDICT, exact="lost"))] if any(state == "lost" for _, state in devices.values()) else []


def callout(bound: Collection[str], issuers: Iterable[Issuer]) -> Any:
    """Asks the process beside Envoy about requests that bring a proof, or a token about which an issuer is to be asked, and about no
    others. What it can't be asked is refused."""
    wanted = [header(names.H_SCHEME, exact="dpop")] if "dpop" in bound else []
    wanted += [header(names.H_ASKS, **_PRESENT)] if any(one.introspection is not None for one in issuers) else []
    if not wanted:
        return nothing()
    return where(any_of(wanted), names.CALLOUT, _asking(bound))


def _asking(bound: Collection[str]) -> Any:
    """It is told what it needs of a request, and may say what a token means, and nothing else."""
    told = ("dpop", names.H_SCHEME, names.H_JKT, names.H_ASKS, "x-forwarded-proto")
    said = [{"exact": one} for one in (names.H_PROOF, names.H_JKT, names.H_CONFIRMATION, names.H_VERDICT, names.H_JTI, names.H_SID)]
    said += [{"prefix": one} for one in (names.H_SUBJECT, names.H_CLAIM)]
    return message(
        f"{_HTTP}.ext_authz.v3.ExtAuthz",
        transport_api_version="V3",
        http_service={
            "server_uri": {"uri": "http://callout/", "cluster": names.CALLOUT, "timeout": {"seconds": names.CALLOUT_S}},
            "authorization_request": {"headers_to_add": [{"key": names.H_BINDING, "value": ",".join(sorted(bound)) or "-"}]},
            "authorization_response": {
                "allowed_upstream_headers": {"patterns": said},
                "allowed_client_headers": {"patterns": [{"exact": "www-authenticate"}, {"exact": "dpop-nonce"}]},
            },
        },
        allowed_headers={"patterns": [{"exact": one} for one in told]},
        status_on_error={"code": 503},
        stat_prefix=names.PROOFS,
    )
