"""Envoy's vocabulary: short builders over its messages, and no decisions. The one place that knows where they come from."""

from bartizan.envoy.messages import any_of, binary, extension, from_dict, message, message_type, pack, packed, pool, to_dict

__all__ = ["any_of", "binary", "extension", "from_dict", "message", "message_type", "pack", "packed", "pool", "to_dict"]
