"""What Envoy says of a configuration it refuses, without the secrets that it quotes."""

import re

_LONGEST = 1000
_SECRETS = (
    re.compile(r"-----BEGIN [A-Z ]*-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL),
    re.compile(r"\bbz_[A-Za-z0-9_]+"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)*"),
    # Envoy: "Duplicated credential key: 'a'", and text protos with fields such as `key: "a"` or `inline_string: "a"`.
    re.compile(r"(?<=credential key: )'.*'", re.DOTALL),
    re.compile(
        r"""(?<![\w])(?:key|client|value|password|secret|token|inline_string|inline_bytes)["']?\s*:\s*("(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?)"""
    ),
)


def redacted(text: str) -> str:
    """`text` with anything that may be a credential replaced by ***, in at most 1,000 characters."""
    for secret in _SECRETS:
        text = secret.sub(_stars, text)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _stars(match: re.Match[str]) -> str:
    if not match.groups():
        return "***"
    return match.group(0)[: match.start(1) - match.start(0)] + "***"
