"""The shelf of key-encryption keys: where what wraps data keys comes from. One file each; to add one, add its class here."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from bartizan.errors import Invalid
from bartizan.secrets.sources._kind import Kek, Place, Unreachable
from bartizan.secrets.sources.environment import Environment
from bartizan.secrets.sources.file import File
from bartizan.secrets.sources.transit import Transit

AnyKek = Annotated[File | Environment | Transit, Field(discriminator="source")]


def kek_of(text: str, token_file: Path | None = None, ca: Path | None = None) -> AnyKek:
    """As people say which one they mean: `file`, `env:NAME`, or a key's address in Vault. Invalid if it is none of them."""
    if text.startswith(("https://", "http://")):
        return Transit.at(text, token_file, ca)
    if token_file is not None or ca is not None:
        raise Invalid("A token and certificates are for a key in Vault: give its address, https://HOST:PORT/v1/transit/keys/NAME.")
    if text == "file":
        return File()
    if text == "env" or text.startswith("env:"):
        return Environment.of(text.removeprefix("env").removeprefix(":"))
    raise Invalid(f"{text!r} is no place of a key: it is file, env:NAME, or https://HOST:PORT/v1/transit/keys/NAME.", code="kek-unknown")


__all__ = ["AnyKek", "Environment", "File", "Kek", "Place", "Transit", "Unreachable", "kek_of"]
