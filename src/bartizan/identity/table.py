"""The tables in which Envoy finds API keys: one `api_key_auth` per shard, each key with the live identity of its consumer.

A key's entry names its consumer and carries the consumer's attributes, so that an attribute that changes is enforced with
the next push of a shard, without a new key. The fields are told by their places, behind a mark of their order:
`3f2a91d0acme;key_abc;["ops"];gold`. What a consumer doesn't have is empty. A key's own scopes stand in the place of its consumer's.
"""

import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bartizan.envoy import extension, message
from bartizan.envoy.names import CERTIFICATE_KEY
from bartizan.identity.key_record import KeyRecord
from bartizan.identity.key_text import ALL_SHARDS, shard_of
from bartizan.identity.scopes import SCOPES
from bartizan.model.attributes import Value, attribute_text

KEY_HEADER = "x-bartizan-key"
"""Where the key stands when the filter looks for it. The filter removes it."""
PRINCIPAL_HEADER = "x-bartizan-principal"
"""Where the filter puts the consumer's identity."""

_MARK = 8  # letters of the mark: 32 bits
_UNSENDABLE = "\n"  # no header can hold it


@dataclass(frozen=True, slots=True)
class ConsumerView:
    """What Envoy has to know of a consumer."""

    id: str
    groups: tuple[str, ...] = ()
    attributes: Mapping[str, Value] = field(default_factory=dict)

    def beside(self, said: Mapping[str, Any]) -> "ConsumerView":
        """With what context sources say of it."""
        if not said:
            return self
        told = {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}
        return replace(self, attributes={**self.attributes, **told})

    def scoped(self, scopes: tuple[str, ...]) -> "ConsumerView":
        """With these scopes instead of its own; with none, as it is."""
        return replace(self, attributes={**self.attributes, SCOPES: scopes}) if scopes else self


def shards(keys: Iterable[KeyRecord], consumers: Mapping[str, ConsumerView], attributes: Mapping[str, str]) -> dict[str, bytes]:
    """For each shard the serialized TypedExtensionConfig `keys/<shard>`; an empty one refuses every key.

    `attributes` are the declared ones: only they are told, in their order. Keys of consumers that don't exist are left out.
    """

    def told(name: str, scopes: tuple[str, ...]) -> tuple[str, str] | None:
        return identity(consumers[name].scoped(scopes), attributes) if name in consumers else None

    return tables(keys, told, ALL_SHARDS)


def tables(
    keys: Iterable[KeyRecord], told: Callable[[str, tuple[str, ...]], tuple[str, str] | None], only: Iterable[str]
) -> dict[str, bytes]:
    """The tables of these shards. `told`: a consumer's identity by its name and the scopes of a key, None if no such key of it counts."""
    identities: dict[tuple[str, tuple[str, ...]], tuple[str, str] | None] = {}
    found: dict[str, dict[str, str]] = {shard: {} for shard in only}
    owners: dict[str, str] = {}
    clashing: set[str] = set()
    for record in keys:
        text = record.key.reveal()
        table = found.get(shard_of(text))
        if table is None:
            continue
        who = record.consumer, record.scopes
        if who not in identities:
            identities[who] = told(*who)
        if (parts := identities[who]) is not None:
            # Two entries with one key would make Envoy refuse the table, and print the key in its log.
            if owners.setdefault(text, record.consumer) != record.consumer:
                clashing.add(text)  # nobody could say whom it means
            table.setdefault(text, f"{parts[0]}{record.id}{parts[1]}")
    for text in clashing:
        del found[shard_of(text)][text]
    return {shard: table_of(shard, clients) for shard, clients in found.items()}


def table_of(shard: str, clients: Mapping[str, str]) -> bytes:
    """The table `keys/<shard>` of these key texts and identities."""
    auth = message(
        "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
        key_sources=[{"header": KEY_HEADER}],
        forwarding={"header": PRINCIPAL_HEADER, "hide_credentials": True},
    )
    # Without any entry Envoy refuses too, but says so (missing_credentials), which would tell callers which shards are empty.
    for text, client in (clients or {_UNSENDABLE: "-"}).items():
        auth.credentials.add(key=text, client=client)
    config = message("envoy.config.core.v3.TypedExtensionConfig", **extension(f"keys/{shard}", auth))
    return bytes(config.SerializeToString(deterministic=True))


def unknown(header: str) -> Any:
    """A filter that refuses whatever stands in this header as a table refuses a key that it doesn't know."""
    auth = message("envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth", key_sources=[{"header": header}])
    auth.credentials.add(key=_UNSENDABLE, client="-")
    return auth


def holders(body: bytes) -> frozenset[tuple[str, str]]:
    """Who counts by a table that `table_of` made: consumers, and the ids of their keys."""
    found = set()
    for credential in _read(body).credentials:
        consumer, _, rest = credential.client[_MARK:].partition(";")
        if consumer:
            found.add((consumer, rest.partition(";")[0]))
    return frozenset(found)


def without_keys(shard: str, body: bytes) -> bytes:
    """A table that `table_of` made, without the API keys: client certificates still count."""
    auth = _read(body)
    return table_of(shard, {one.key: one.client for one in auth.credentials if one.key.startswith(CERTIFICATE_KEY)})


def _read(body: bytes) -> Any:
    config = message("envoy.config.core.v3.TypedExtensionConfig")
    config.MergeFromString(body)
    auth = message("envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth")
    auth.MergeFromString(config.typed_config.value)
    return auth


def identity(consumer: ConsumerView, attributes: Mapping[str, str]) -> tuple[str, str]:
    """A consumer as the principal's rules read it: what stands before and behind the key's id.

    `attributes` are the declared ones. ValueError if a value could be read as something else.
    """
    texts = []
    for name in fields_of(attributes):
        value = {"id": consumer.id, "key": None, "groups": consumer.groups}.get(name, consumer.attributes.get(name))
        try:
            texts.append("" if value is None else attribute_text(value))
        except ValueError as error:
            raise ValueError(f"consumer {consumer.id!r}, {name}: {error}") from None
    return f"{order_mark(attributes)}{texts[0]};", ";" + ";".join(texts[2:])


def fields_of(attributes: Mapping[str, str]) -> tuple[str, ...]:
    """The fields of an entry, in order."""
    return ("id", "key", "groups", *attributes)


def order_mark(attributes: Mapping[str, str]) -> str:
    """What entries with these fields begin with. Tables and rules change one after the other: none may take one field for another."""
    return _mark("\0".join(fields_of(attributes)))


@functools.lru_cache(maxsize=64)
def _mark(fields: str) -> str:
    return hashlib.sha256(fields.encode()).hexdigest()[:_MARK]
