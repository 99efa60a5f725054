"""Passwords: what one has to be like, and how it is kept (Argon2id, RFC 9106)."""

import os
import secrets
import threading
from functools import cache

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from bartizan.errors import Invalid

SHORTEST = 12
"""Characters of a password (NIST SP 800-63B, section 3.1.1, asks for 8 beside a second factor)."""
LONGEST = 256
_AT_ONCE = threading.Semaphore(2)
"""Each password that is checked takes some tens of megabytes."""


def check_password(name: str, text: str) -> None:
    """Invalid if this can't be the password of somebody who is called so."""
    if not SHORTEST <= len(text) <= LONGEST:
        raise Invalid(f"A password has {SHORTEST} to {LONGEST} characters.", code="password-unfit")
    if name.casefold() in text.casefold() or len(set(text)) < SHORTEST // 2:
        raise Invalid("The password is too easy to guess: it holds your name, or few different characters.", code="password-unfit")


def hashed(password: str) -> str:
    """As it is kept (PHC string), with what OWASP's cheat sheet on storing passwords asks for at least."""
    with _AT_ONCE:
        made = Argon2id(salt=os.urandom(16), length=32, iterations=2, lanes=1, memory_cost=19 * 1024)
        return made.derive_phc_encoded(password.encode("utf-8", "surrogatepass"))


def fits(password: str, phc: str) -> bool:
    """Whether it is the one that is kept so. It takes as long if there is none (empty), and is False then."""
    with _AT_ONCE:
        try:
            Argon2id.verify_phc_encoded(password[: LONGEST + 1].encode("utf-8", "surrogatepass"), phc or _nobodys())
        except InvalidKey:
            return False
    return bool(phc)


@cache
def _nobodys() -> str:
    made = Argon2id(salt=os.urandom(16), length=32, iterations=2, lanes=1, memory_cost=19 * 1024)
    return made.derive_phc_encoded(secrets.token_bytes(32))
