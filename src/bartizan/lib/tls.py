"""A certificate and a key for Python's TLS, which reads them from a file only."""

import os
import ssl
import tempfile


def load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Gives a context a certificate and its key, both PEM, without the key being on a disk where the system has files in memory."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pair", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate + key)
            file.flush()
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        return
    with tempfile.NamedTemporaryFile(prefix="bartizan-") as named:
        named.write(certificate + key)
        named.flush()
        context.load_cert_chain(named.name)
