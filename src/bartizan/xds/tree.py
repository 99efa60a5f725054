"""A hash over many resources that costs little to keep: resources in buckets, a hash for each bucket, and one over those."""

import hashlib
import zlib
from collections.abc import Mapping
from typing import TypeAlias

import orjson

Key: TypeAlias = tuple[str, str]
"""Type URL and name."""

_BUCKETS = 256
_DOMAIN = b"bartizan state\0"
_Bucket: TypeAlias = dict[Key, bytes]


class Tree:
    """The digests of resources by their keys. Two trees have the same root only if they hold the same, however they came to it."""

    def __init__(self) -> None:
        self._buckets: list[_Bucket] = [{} for _ in range(_BUCKETS)]
        self._hashes = [_hash({})] * _BUCKETS
        self._stale: set[int] = set()

    def put(self, key: Key, digest: bytes) -> None:
        """Holds a resource, instead of what was held under its key."""
        at = _bucket_of(key)
        self._buckets[at][key] = digest
        self._stale.add(at)

    def drop(self, key: Key) -> None:
        """Holds it no longer."""
        at = _bucket_of(key)
        self._buckets[at].pop(key, None)
        self._stale.add(at)

    def root(self, changes: Mapping[Key, bytes | None] | None = None) -> bytes:
        """The hash over everything; with `changes`, as it would be after them. None is what would be gone."""
        for at in self._stale:
            self._hashes[at] = _hash(self._buckets[at])
        self._stale.clear()
        hashes = self._hashes
        if changes:
            hashes = list(hashes)
            for at, bucket in self._changed(changes).items():
                hashes[at] = _hash(bucket)
        return hashlib.sha256(_DOMAIN + b"".join(hashes)).digest()

    def _changed(self, changes: Mapping[Key, bytes | None]) -> dict[int, _Bucket]:
        found: dict[int, _Bucket] = {}
        for key, digest in changes.items():
            at = _bucket_of(key)
            bucket = found.get(at)
            if bucket is None:
                bucket = found[at] = dict(self._buckets[at])
            if digest is None:
                bucket.pop(key, None)
            else:
                bucket[key] = digest
        return found


def _bucket_of(key: Key) -> int:
    # Which bucket it is needn't be hard to foresee: the whole key is in what the bucket's hash is made of.
    return zlib.crc32(key[1].encode()) % _BUCKETS


def _hash(bucket: _Bucket) -> bytes:
    return hashlib.sha256(orjson.dumps([(*key, bucket[key].hex()) for key in sorted(bucket)])).digest()
