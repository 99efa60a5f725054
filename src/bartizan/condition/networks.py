"""Networks: read from text, and as patterns of an address's text for where no address matcher can stand."""

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from bartizan.condition.tree import Network

MAPPED = IPv6Network("::ffff:0:0/96")
"""IPv4 addresses as IPv6 writes them; they count as IPv4."""

_DIGITS = "0123456789abcdef"
_GROUP = "[0-9a-f]+"


def network(text: str) -> Network:
    """A network or a single address. Raises ValueError with what to write instead."""
    if not re.fullmatch(r"[0-9A-Fa-f.:]+(/[0-9]{1,3})?", text):
        raise ValueError("write it as 10.0.0.0/8, 10.1.2.3 or 2001:db8::/32")
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        raise ValueError("write it as 10.0.0.0/8, 10.1.2.3 or 2001:db8::/32") from None
    if "/" in text and ip_address(text.split("/")[0]) != found.network_address:
        raise ValueError(f"the address has bits beyond the prefix: write {found}")
    if isinstance(found, IPv6Network) and found.subnet_of(MAPPED):
        return IPv4Network((int(found.network_address) & 0xFFFFFFFF, found.prefixlen - 96))
    return found


def mapped(of: IPv4Network) -> IPv6Network:
    return IPv6Network((int(MAPPED.network_address) | int(of.network_address), of.prefixlen + 96))


def covers_mapped(of: Network) -> bool:
    """An IPv6 network so wide that the form which IPv4 addresses take in IPv6 lies in it."""
    return isinstance(of, IPv6Network) and MAPPED.subnet_of(of)


def patterns(of: Network) -> tuple[str, ...]:
    """Patterns one of which finds itself in the canonical text of an address of the network, a port behind it or not.

    ValueError for IPv6 networks that begin with zeros, except `::/0` and single addresses such as `::1`: their text has too many forms.
    """
    if isinstance(of, IPv4Network):
        return (_pattern_4(of),)
    if of.prefixlen == 0:
        return ("^\\[?[0-9a-f]*:[0-9a-f]*:[0-9a-f:]*(?:\\]|$)", "^\\[?::[0-9]+\\.")
    if of.prefixlen == 128 and 0 < int(of.network_address) < 1 << 16:
        return (f"^\\[?{of.network_address}(?:\\]|$)",)
    if int(of.network_address) >> 112 == 0:
        raise ValueError("an IPv6 network that begins with zeros")
    return tuple(_patterns_6(of))


def _pattern_4(of: IPv4Network) -> str:
    octets = [octet for octet in _parts(of.network_address.packed, of.prefixlen, 8) if octet != (0, 255)]
    text = "".join(f"{_either(low, high, 10)}\\." for low, high in octets)
    if len(octets) == 4:
        text = text.removesuffix("\\.") + "(?:\\]?:[0-9]+)?$"
    if not octets:
        text = "[0-9]+\\."
    return f"^(?:\\[?::ffff:)?{text}"


def _patterns_6(of: IPv6Network) -> Iterator[str]:
    """One pattern for each place where `::` may stand in an address of the network."""
    groups = [part for part in _parts(of.network_address.packed, of.prefixlen, 16) if part != (0, 0xFFFF)]
    told, texts = len(groups), [_either(low, high, 16) for low, high in groups]
    end = "(?:\\]:[0-9]+)?$"
    yield f"^\\[?{':'.join(texts)}" + (end if told == 8 else ":")
    for first in range(1, told):
        for after in range(first + 2, told):
            if all(low == 0 for low, _ in groups[first:after]):
                yield f"^\\[?{':'.join(texts[:first])}::{':'.join(texts[after:])}{f':{_GROUP}' * (8 - told)}{end}"
        if all(low == 0 for low, _ in groups[first:]):
            rest = 8 - max(told, first + 2)
            free = f"(?:{_GROUP}(?::{_GROUP}){{0,{rest - 1}}})?" if rest else ""
            yield f"^\\[?{':'.join(texts[:first])}::{free}{end}"


def _parts(packed: bytes, prefix: int, bits: int) -> Iterator[tuple[int, int]]:
    """The least and the greatest value of each part of `bits` bits."""
    value, width = int.from_bytes(packed, "big"), len(packed) * 8
    for start in range(0, width, bits):
        low = value >> (width - start - bits) & ((1 << bits) - 1)
        free = min(bits, max(0, start + bits - prefix))
        yield low, low | (1 << free) - 1


def _either(low: int, high: int, base: int) -> str:
    found = span(low, high, base)
    return found[0] if len(found) == 1 else f"(?:{'|'.join(found)})"


def span(low: int, high: int, base: int) -> list[str]:
    """Patterns for the digits of the whole numbers from `low` to `high`."""
    found: list[str] = []
    while low <= high:
        width = len(_digits(low, base))
        top = min(high, base**width - 1)
        found += _same_width(_digits(low, base), _digits(top, base), _DIGITS[:base])
        low = top + 1
    return found


def _digits(number: int, base: int) -> str:
    return str(number) if base == 10 else f"{number:x}"


def _same_width(low: str, high: str, digits: str) -> list[str]:
    if low == high:
        return [low]
    if len(low) == 1:
        return [_class(digits[digits.index(low) : digits.index(high) + 1])]
    if low[0] == high[0]:
        return [low[0] + rest for rest in _same_width(low[1:], high[1:], digits)]
    least, most = digits[0] * (len(low) - 1), digits[-1] * (len(low) - 1)
    first, last = digits.index(low[0]), digits.index(high[0])
    before, after = [], []
    if low[1:] != least:
        before, first = [low[0] + rest for rest in _same_width(low[1:], most, digits)], first + 1
    if high[1:] != most:
        after, last = [high[0] + rest for rest in _same_width(least, high[1:], digits)], last - 1
    between = [_class(digits[first : last + 1]) + _class(digits) * (len(low) - 1)] if first <= last else []
    return before + between + after


def _class(digits: Sequence[str]) -> str:
    return digits[0] if len(digits) == 1 else "[" + "".join(digits).replace("0123456789", "0-9").replace("abcdef", "a-f") + "]"
