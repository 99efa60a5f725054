"""URLs that somebody declares for the gateway to fetch from, or to send people to."""

from urllib.parse import SplitResult, urlsplit

from bartizan.lib.near import is_here

_NEVER = frozenset(" \"'<>\\")


def http_url(text: str) -> SplitResult | None:
    """The parts of an absolute http:// or https:// URL (RFC 3986) without a user and a password; None if it isn't one."""
    try:
        parts = urlsplit(text)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an IPv6 address that can't be
        return None
    written = text.isascii() and text.isprintable() and not set(text) & _NEVER
    return parts if sound and written and "@" not in parts.netloc else None


def is_private(text: str) -> bool:
    """Whether it is a URL from which nobody on the way can read: https://, or http:// on this machine."""
    parts = http_url(text)
    return parts is not None and (parts.scheme == "https" or is_here(parts.hostname or ""))
