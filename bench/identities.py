"""How fast it is everywhere that a credential doesn't count any more, or does: on three real nodes, among many keys."""

import ssl
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.certificates import Authority, authority

from bench.everywhere import answered
from bench.measures import Effort, Figures, percentile
from bench.programs import free_port
from bench.trio import NODES, OK, Later, Trio, three_nodes
from bench.world import Size

_UNAUTHORIZED, _FORBIDDEN = 401, 403
_SAFE = """kind: Tls
name: safe
target: {listener: safe}
certificate: safe.pem
private_key: {file: safe.key}
client_cas: {fleet: fleet.pem}
"""


_ON_CALL = """kind: ContextSource
name: on-call
attributes: [on_call]
push: true
max_age: 1h
---
kind: Authorize
name: on-call
target: {api: api-0000, paths: [/api-0000/on-call]}
allow: principal.on_call
"""


@dataclass(slots=True)
class _Identities:
    """Three nodes, and the devices that come to their listener with TLS."""

    trio: Trio
    safe: list[int]
    root: Authority
    fleet: Authority
    folder: Path

    def key(self, number: int) -> float:
        """A key is revoked."""
        trio, place = self.trio, -number - 1
        told = {"x-api-key": trio.keys.texts[place]}
        return self._refused(told, _UNAUTHORIZED, lambda: trio.call("DELETE", f"/v1/keys/{trio.keys.ids[place]}"))

    def token(self, number: int) -> float:
        """A token is blocked."""
        return self._blocked("token", f"t-{number}", {"jti": f"t-{number}"})

    def session(self, number: int) -> float:
        """A session at the issuer is blocked."""
        return self._blocked("session", f"s-{number}", {"sid": f"s-{number}"})

    def _blocked(self, what: str, value: str, claims: dict[str, Any]) -> float:
        body = {"what": what, "value": value, "seconds": 600, "reason": "measured", "emergency": True}
        told = {"authorization": f"Bearer {self.trio.tokens.of(1, 0, **claims)}"}
        return self._refused(told, _FORBIDDEN, lambda: self.trio.call("POST", "/v1/blocks", body))

    def consumer(self, number: int) -> float:
        """A consumer with as many keys as the others have is disabled."""
        name = f"guest-{number:03}"
        path, body = f"/v1/resources/Consumer/{name}", {"attributes": {"plan": "gold", "department": "sales"}}
        self.trio.call("PUT", path, body)
        size = self.trio.size
        made = [self.trio.call("POST", "/v1/keys", {"consumer": name}) for _ in range(size.keys // size.consumers)]
        told = {"x-api-key": made[-1]["key"]}
        return self._refused(told, _UNAUTHORIZED, lambda: self.trio.call("PUT", path, {**body, "disabled": True}))

    def device(self, number: int) -> float:
        """A device is lost."""
        pair = self.fleet.client(f"spiffe://fleet/{number}")
        tls = ssl.create_default_context(cadata=self.root.pem.decode())
        tls.check_hostname = False
        tls.load_cert_chain(*pair.save(self.folder, f"device-{number}"))
        declared = {"certificates": [pair.fingerprint], "state": "trusted"}
        path = f"/v1/resources/Device/device-{number:03}"
        self.trio.call("PUT", path, declared)
        told = {"x-api-key": self.trio.keys.texts[0]}
        lost = {**declared, "state": "lost"}
        return self._refused(told, _UNAUTHORIZED, lambda: self.trio.call("PUT", path, lost), tls)

    def _refused(self, told: dict[str, str], status: int, order: Callable[[], object], tls: ssl.SSLContext | None = None) -> float:
        """Milliseconds from the order until the last of three nodes refuses."""
        ports, path = self.safe if tls else self.trio.ports, self.trio.size.path(1)
        answered(ports, path, OK, told, tls)
        ordered = time.monotonic()
        waiting = Later(lambda: answered(ports, path, status, told, tls))
        order()
        return (waiting.result() - ordered) * 1000

    def created(self, number: int) -> float:
        """Milliseconds from the wish for a key until the last of three nodes takes it."""
        ordered = time.monotonic()
        made = self.trio.call("POST", "/v1/keys", {"consumer": f"consumer-{number:05}"})
        return (answered(self.trio.ports, self.trio.size.path(1), OK, {"x-api-key": made["key"]}) - ordered) * 1000

    def changed(self, number: int) -> float:
        """Milliseconds from the push of a consumer's attribute until the last of three nodes decides by it."""
        trio, which, value = self.trio, number // 2 * 37, number % 2 == 0
        told, path = {"x-api-key": trio.keys.texts[which]}, trio.size.path(0) + "/on-call"
        ordered = time.monotonic()
        waiting = Later(lambda: answered(trio.ports, path, OK if value else _FORBIDDEN, told))
        trio.call("PUT", f"/v1/context/on-call/subject?subject=consumer-{which:05}", {"attributes": {"on_call": value}})
        return (waiting.result() - ordered) * 1000


def identities(folder: Path, effort: Effort, keys: int) -> Figures:
    """`revocation_ms_p99`: a key, a token, a session, a consumer and a device in turn; `key_creation_ms_p99`; `attribute_change_ms_p99`:
    of one of the consumers, who have ten keys each."""
    safe = [free_port() for _ in range(NODES)]
    root, fleet = authority("Web"), authority("Fleet")
    (folder / "files").mkdir(parents=True)
    root.server().save(folder / "files", "safe")
    (folder / "files" / "fleet.pem").write_bytes(fleet.pem)
    took: dict[str, list[float]] = {}
    size, more = Size(keys=keys), f"{_SAFE}---\n{_ON_CALL}"
    with three_nodes(folder, size, safe=safe, more=("on_call: bool", more)) as trio:
        made = _Identities(trio, safe, root, fleet, folder)
        for number in range(max(4, effort.edits // 5)):
            for measure in (made.key, made.token, made.session, made.consumer, made.device):
                took.setdefault(measure.__name__, []).append(measure(number))
        created = [made.created(number) for number in range(effort.edits)]
        changed = [made.changed(number) for number in range(effort.edits)]
    every = [one for some in took.values() for one in some]
    return {
        "revocation_ms_p50": statistics.median(every),
        "revocation_ms_p99": percentile(every, 0.99),
        **{f"revocation_{what}_ms_p50": statistics.median(some) for what, some in took.items()},
        "key_creation_ms_p50": statistics.median(created),
        "key_creation_ms_p99": percentile(created, 0.99),
        "attribute_change_ms_p50": statistics.median(changed),
        "attribute_change_ms_p99": percentile(changed, 0.99),
    }
