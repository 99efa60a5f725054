"""The text of an API key: `bz_`, a shard character, thirty random characters, and a checksum that tells a typo from a guess.

The prefix lets secret scanners find leaked keys; the shard character spreads keys evenly over the tables that Envoy holds, so
that a change pushes a thirty-second part of them.
"""

import secrets
import string
import zlib

from bartizan.envoy.names import CERTIFICATE_KEY

PREFIX = "bz_"
SHARDS = tuple("abcdefghijklmnopqrstuvwxyz234567")
"""The shards of keys, each named by the character behind the prefix."""
OTHER = "other"
"""The shard of client certificates, and of every text that is no key. It refuses all else."""
BROUGHT = tuple(f"{OTHER}-{number}" for number in range(16))
"""The shards of keys in other forms, which were made elsewhere: the gate tells them apart by how they end."""
ALL_SHARDS = (*SHARDS, *BROUGHT, OTHER)

SHORTEST, _LONGEST = 16, 512
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
    return "key_" + "".join(SHARDS[byte % len(SHARDS)] for byte in secrets.token_bytes(12))  # 32 letters: each as likely


def shard_of(text: str) -> str:
    """The shard that Envoy looks for this key in. `compile/gate.lua` says the same of keys in other forms."""
    shard = text[len(PREFIX) : len(PREFIX) + 1]
    if shard in _SHARDS and text.startswith(PREFIX):
        return shard
    if len(text) < SHORTEST or text.startswith(CERTIFICATE_KEY):
        return OTHER
    return BROUGHT[sum((2 * at + 1) * ord(character) for at, character in enumerate(text[:-7:-1])) % len(BROUGHT)]


def is_wellformed(text: str) -> bool:
    """Whether this could be a key of ours: right form, right checksum."""
    return (
        len(text) == _LENGTH
        and shard_of(text) in _SHARDS
        and _ALPHABET.issuperset(text[len(PREFIX) + 1 :])
        and _checksum(text[:-_CHECKSUM]) == text[-_CHECKSUM:]
    )


def brought_problem(text: str) -> str | None:
    """What is wrong with a key that was made elsewhere, or None. It says nothing of what the key holds."""
    if len(text) < SHORTEST:
        return f"has fewer than {SHORTEST} characters"
    if len(text) > _LONGEST:
        return f"has more than {_LONGEST} characters"
    if not (text.isascii() and text.isprintable()) or " " in text or "," in text:
        return "holds other characters than printable ASCII, or a space or a comma"
    if text.startswith(CERTIFICATE_KEY):
        return f"begins with {CERTIFICATE_KEY}, as certificates do"
    if shard_of(text) in _SHARDS and not is_wellformed(text):
        return "begins like one of Bartizan's and isn't: it may have been mistyped or cut"
    return None


def _checksum(body: str) -> str:
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM):
        rest, digit = divmod(rest, 62)
        digits = _BASE62[digit] + digits
    return digits
