"""The tables in which Envoy finds API keys: one `api_key_auth` per shard, each key with the live identity of its consumer.

A key's entry names its consumer and carries the consumer's attributes, so that an attribute that changes is enforced with
the next push of a shard, without a new key. The field order is fixed: `;id=acme;key=key_abc;groups=["ops"];plan=gold;`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bartizan.envoy import extension, message
from bartizan.identity.key_text import OTHER, SHARDS, shard_of
from bartizan.identity.keys import KeyRecord
from bartizan.model.attributes import Value, attribute_text

KEY_HEADER = "x-bartizan-key"
"""Where the key stands when the filter looks for it. The filter removes it."""
PRINCIPAL_HEADER = "x-bartizan-principal"
"""Where the filter puts the consumer's identity."""

_UNSENDABLE = "\n"  # no header can hold it


@dataclass(frozen=True, slots=True)
class ConsumerView:
    """What Envoy has to know of a consumer."""

    id: str
    groups: tuple[str, ...] = ()
    attributes: Mapping[str, Value] = field(default_factory=dict)


def shards(keys: Iterable[KeyRecord], consumers: Mapping[str, ConsumerView], attributes: Mapping[str, str]) -> dict[str, bytes]:
    """For each shard the serialized TypedExtensionConfig `keys/<shard>`; an empty one refuses every key.

    `attributes` are the declared ones: only they are told, in their order. Keys of consumers that don't exist are left out.
    """
    identities: dict[str, tuple[str, str]] = {}
    tables: dict[str, dict[str, str]] = {shard: {} for shard in (*SHARDS, OTHER)}
    for record in keys:
        if record.consumer not in identities:
            if record.consumer not in consumers:
                continue
            identities[record.consumer] = identity(consumers[record.consumer], attributes)
        before, behind = identities[record.consumer]
        text = record.key.reveal()
        # Two entries with one key would make Envoy refuse the table, and print the key in its log.
        tables[shard_of(text)].setdefault(text, f"{before}{record.id}{behind}")
    return {shard: table_of(shard, clients) for shard, clients in tables.items()}


def table_of(shard: str, clients: Mapping[str, str]) -> bytes:
    """The table `keys/<shard>` of these key texts and identities."""
    auth = message(
        "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
        key_sources=[{"header": KEY_HEADER}],
        forwarding={"header": PRINCIPAL_HEADER, "hide_credentials": True},
    )
    # Without any entry Envoy refuses too, but says so (missing_credentials), which would tell callers which shards are empty.
    for text, client in (clients or {_UNSENDABLE: ";"}).items():
        auth.credentials.add(key=text, client=client)
    config = message("envoy.config.core.v3.TypedExtensionConfig", **extension(f"keys/{shard}", auth))
    return bytes(config.SerializeToString(deterministic=True))


def identity(consumer: ConsumerView, attributes: Mapping[str, str]) -> tuple[str, str]:
    """A consumer as the principal's rules read it: what stands before and behind the key's id.

    `attributes` are the declared ones. ValueError if a value could be read as something else.
    """
    fields: dict[str, Value] = {"id": consumer.id, "groups": consumer.groups}
    fields.update((name, consumer.attributes[name]) for name in attributes if name in consumer.attributes and name not in fields)
    texts: dict[str, str] = {}
    for name, value in fields.items():
        try:
            texts[name] = attribute_text(value)
        except ValueError as error:
            raise ValueError(f"consumer {consumer.id!r}, {name}: {error}") from None
    return f";id={texts.pop('id')};key=", ";" + "".join(f"{name}={text};" for name, text in texts.items())
