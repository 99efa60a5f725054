"""A control plane with its own node and two of other machines, and what is found out of all three."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.everywhere import answered
from bench.fleet import join_tokens, real_node
from bench.programs import Gateway, first_answer, free_port, gateway, nginx
from bench.world import Keys, Size, Tokens, write_files, write_keys

NODES = 3
OK = 200


@dataclass(slots=True)
class Trio:
    """All three, and what they hold."""

    gateway: Gateway
    size: Size
    keys: Keys
    ports: list[int]
    folder: Path
    tokens: Tokens

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The admin API's answer, as the owner of the state's folder gets it."""
        answer = self.gateway.control.request(method, f"http://control{path}", json=body)
        if not answer.is_success:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json()

    def put(self, api: int, departments: tuple[str, ...], note: str) -> str:
        """Lets only these call the API; the revision that says so."""
        allow = f"principal.department in {json.dumps(departments)}"
        document = {"target": {"api": f"api-{api:04}"}, "allow": allow, "description": note}
        return str(self.call("PUT", f"/v1/resources/Authorize/staff-{api:04}", document)["revision"])

    def all_answer(self, path: str, status: int, key: str) -> float:
        """When the last of the three nodes answered so."""
        return answered(self.ports, path, status, {"x-api-key": key})


@contextmanager
def three_nodes(folder: Path, size: Size, releases: str = "", safe: Sequence[int] = (), more: tuple[str, str] = ("", "")) -> Iterator[Trio]:
    """All three are there, and serve. `safe`: the ports of a listener of this name in each; `more`: attributes that are declared beside the
    others, and what else is."""
    tokens = Tokens()
    port, upstream, door = free_port(), free_port(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder / "files", size, port, upstream, tokens)
    if releases:
        file = folder / "files" / "gateway.yaml"
        file.write_text(file.read_text().replace("name: edge\n", f"name: edge\nreleases: {releases}\n", 1))
    if safe:
        file = folder / "files" / "gateway.yaml"
        listener = f'{{name: safe, address: "127.0.0.1:{safe[0]}"}}'
        text = file.read_text().replace("listeners: [", f"listeners: [{listener}, ", 1)
        file.write_text(text.replace("attributes: {", f"attributes: {{{more[0]}, ", 1) + "---\n" + more[1])
    keys = write_keys(folder / "state", size, folder)
    joining = join_tokens(folder / "state", NODES - 1)
    with ExitStack() as stack:
        stack.enter_context(nginx(folder / "upstream", upstream))
        made = stack.enter_context(gateway(folder, port, more=("--nodes", f"127.0.0.1:{door}")))
        first_answer(made, size.path(0), {"x-api-key": keys.texts[0]})
        ends = zip(joining, [*safe[1:], 0, 0], strict=False)
        others = [stack.enter_context(real_node(folder, f"real-{one}", door, *end)) for one, end in enumerate(ends)]
        made.until(lambda now: sum(node["acknowledged"] for node in now["nodes"]) == NODES, 120)
        trio = Trio(made, size, keys, [port, *others], folder, tokens)
        trio.all_answer(size.path(0), OK, keys.texts[0])
        yield trio


class Later:
    """Something that is found out meanwhile."""

    def __init__(self, find: Callable[[], float]) -> None:
        self._found = 0.0
        self._error: Exception | None = None

        def run() -> None:
            try:
                self._found = find()
            except RuntimeError as error:
                self._error = error

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def result(self) -> float:
        """What was found."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._found
