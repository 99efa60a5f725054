"""Clients that show a certificate."""

import ssl
from pathlib import Path

import httpx

from tests.certificates import Authority, Pair


def client(root: Authority, folder: Path, port: int, pair: Pair | None) -> httpx.AsyncClient:
    """A client of the TLS listener on this port, whose certificate `root` issued. `folder` is where its own is written."""
    context = ssl.create_default_context(cadata=root.pem.decode())
    if pair is not None:
        context.load_cert_chain(*pair.save(folder, f"client-{pair.fingerprint[:8]}"))
    return httpx.AsyncClient(base_url=f"https://localhost:{port}", verify=context, timeout=10)
