"""A key-encryption key in a variable: base64 of 32 bytes, such as `openssl rand -base64 32` prints. Envoy doesn't get to see it."""

import base64
import binascii
import os
import re
from typing import Literal

from pydantic import Field

from bartizan.errors import Invalid, Unavailable
from bartizan.secrets.envelope import KEY_BYTES, Envelope
from bartizan.secrets.places import ring_file
from bartizan.secrets.sources._kind import Held, Kek, Place, wrapping

VARIABLE = "BARTIZAN_KEY"
_NAME = re.compile(r"^BARTIZAN_KEY[A-Z0-9_]{0,50}$")


class Environment(Kek):
    """One that whoever starts the gateway gives it. The variable's name begins with BARTIZAN_KEY: what does isn't passed on."""

    source: Literal["environment"] = "environment"
    variable: str = Field(default=VARIABLE, pattern=_NAME.pattern)

    @classmethod
    def of(cls, name: str) -> "Environment":
        """The one in the variable of this name; the usual one if it is empty. Invalid if it can't be one."""
        if name and not _NAME.fullmatch(name):
            raise Invalid(f"{name!r} can't hold the key: the variable's name begins with {VARIABLE}.", code="kek-unknown")
        return cls(variable=name or VARIABLE)

    def told(self) -> str:
        return f"the variable {self.variable}"

    def wrap(self, key: bytes, place: Place) -> str:
        return base64.b64encode(self._held(place).seal(key, place.context)).decode()

    def unwrap(self, wrapped: str, place: Place) -> bytes:
        held = self._held(place)
        try:
            sealed = base64.b64decode(wrapped, validate=True)
        except (binascii.Error, ValueError):
            sealed = b""
        return Held(held, f"The key in the variable {self.variable}", "Give the one", "key-variable-wrong").unwrapped(sealed, place)

    def _held(self, place: Place) -> Envelope:
        text = os.environ.get(self.variable, "")
        if not text:
            told = f"The variable {self.variable} isn't set, and {ring_file(place.key)} can't be opened without the key in it."
            raise Unavailable(told, code="key-variable-missing")
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            told = f"The variable {self.variable} holds no key: that is base64 of {KEY_BYTES} bytes, as `openssl rand -base64 32` prints."
            raise Unavailable(told, code="key-variable-malformed")
        return wrapping(key)
