"""When the last of several Envoys answered as it should."""

import ssl
import threading
import time
from collections.abc import Mapping, Sequence

import httpx

_BETWEEN_S = 0.002
_LAST_S = 15.0


def answered(ports: Sequence[int], path: str, status: int, headers: Mapping[str, str], tls: ssl.SSLContext | None = None) -> float:
    """The moment, by the monotonic clock, at which the last of them first answered `path` with `status`."""
    at = [0.0] * len(ports)
    scheme, seconds = "https" if tls else "http", _LAST_S

    def ask(which: int) -> None:
        deadline = time.monotonic() + seconds
        with httpx.Client(base_url=f"{scheme}://127.0.0.1:{ports[which]}", headers=dict(headers), verify=tls or True) as client:
            while client.get(path).status_code != status:
                if time.monotonic() > deadline:
                    return
                time.sleep(_BETWEEN_S)  # those that ask all the time would leave little of two cores
            at[which] = time.monotonic()

    threads = [threading.Thread(target=ask, args=(which,)) for which in range(len(ports))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not all(at):
        raise RuntimeError(f"{path} isn't answered with {status} everywhere after {seconds:g} s")
    return max(at)
