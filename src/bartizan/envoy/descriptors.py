"""The descriptors of Envoy's messages, read out of the Envoy binary itself.

The binary holds every `FileDescriptorProto` it was built with, serialized in its read-only data. Reading them there
means that the vocabulary can't drift from the data plane, and that no second package of generated code is needed.
"""

import mmap
import re
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool

# A serialized FileDescriptorProto starts with field 1 (its name), which always ends in ".proto".
_START = re.compile(rb"\x0a([\x01-\x7f])")
_NAME = re.compile(rb"[\w/.\-]+\.proto")
_FIELDS = frozenset((*range(2, 13), 14))


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 35:
            raise ValueError


def _end(data: mmap.mmap, at: int) -> int:
    """Where the message whose name field ends at `at` stops: the last position up to which its fields parse."""
    try:
        while True:
            tag, here = _varint(data, at)
            if tag >> 3 not in _FIELDS:
                return at
            if tag & 7 == 2:
                length, here = _varint(data, here)
                here += length
            elif tag & 7 == 0:
                _, here = _varint(data, here)
            else:
                return at
            if here > len(data):
                return at
            at = here
    except (ValueError, IndexError):
        return at


def _candidates(data: mmap.mmap) -> Iterator[descriptor_pb2.FileDescriptorProto]:
    for match in _START.finditer(data):
        start = match.start()
        name_ends = start + 2 + match.group(1)[0]
        if _NAME.fullmatch(data[start + 2 : name_ends]):
            try:
                yield descriptor_pb2.FileDescriptorProto.FromString(data[start : _end(data, name_ends)])
            except ValueError:  # protobuf's DecodeError is one: a name alone, not a descriptor
                continue


def descriptors(binary: Path) -> dict[str, descriptor_pb2.FileDescriptorProto]:
    """Every file descriptor in `binary`, by file name. About 560 files in 0.3 s for Envoy 1.40."""
    with binary.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found: dict[str, descriptor_pb2.FileDescriptorProto] = {}
        for candidate in _candidates(data):
            known = found.get(candidate.name)
            if known is None or candidate.ByteSize() > known.ByteSize():
                found[candidate.name] = candidate
        return found


def pool_of(files: dict[str, descriptor_pb2.FileDescriptorProto]) -> descriptor_pool.DescriptorPool:
    """A pool with all `files`, each after what it depends on."""
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()

    def add(name: str) -> None:
        if name not in added:
            added.add(name)
            for dependency in files[name].dependency:
                add(dependency)
            pool.AddSerializedFile(files[name].SerializeToString())

    for name in files:
        add(name)
    return pool
