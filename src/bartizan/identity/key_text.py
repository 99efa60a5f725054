"""The text of an API key: `bz_`, a shard character, thirty random characters, and a checksum that tells a typo from a guess.

The prefix lets secret scanners find leaked keys; the shard character spreads keys evenly over the tables that Envoy holds, so
that a change pushes a thirty-second part of them.
"""

import secrets
import string
import zlib

PREFIX = "bz_"
SHARDS = tuple("abcdefghijklmnopqrstuvwxyz234567")
"""The shards of keys, each named by the character behind the prefix."""
OTHER = "other"
"""The shard of every text that no key of ours begins like. It holds what consumers brought along, and refuses all else."""

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM = 30  # characters: 178 bits
_CHECKSUM = 6  # characters: a CRC-32 in base 62
_LENGTH = len(PREFIX) + 1 + _RANDOM + _CHECKSUM
_SHARDS = frozenset(SHARDS)
_ALPHABET = frozenset(_BASE62)


def key_text() -> str:
    """A new key. Nothing but the operating system's randomness goes into it."""
    body = PREFIX + secrets.choice(SHARDS) + "".join(secrets.choice(_BASE62) for _ in range(_RANDOM))
    return body + _checksum(body)


def key_id() -> str:
    """A new public name of a key, which tells nothing about its text."""
    return "key_" + "".join(secrets.choice(SHARDS) for _ in range(12))


def shard_of(text: str) -> str:
    """The shard that Envoy looks for this key in."""
    shard = text[len(PREFIX) : len(PREFIX) + 1]
    return shard if shard in _SHARDS and text.startswith(PREFIX) else OTHER


def is_wellformed(text: str) -> bool:
    """Whether this could be a key of ours: right form, right checksum."""
    return (
        len(text) == _LENGTH
        and shard_of(text) != OTHER
        and _ALPHABET.issuperset(text[len(PREFIX) + 1 :])
        and _checksum(text[:-_CHECKSUM]) == text[-_CHECKSUM:]
    )


def _checksum(body: str) -> str:
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM):
        rest, digit = divmod(rest, 62)
        digits = _BASE62[digit] + digits
    return digits
