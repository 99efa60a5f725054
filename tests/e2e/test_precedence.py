"""The truth table of docs/guide/precedence.md, each line against the real gateway."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bartizan.compile import compile
from bartizan.compile.read import assemble, read
from bartizan.model.snapshot import Snapshot
from tests.e2e.gateway import Gateway, gateway, upstream

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guide" / "precedence.md"
ROWS = [
    tuple(cell.strip() for cell in line.strip("|\n").split("|"))
    for line in GUIDE.read_text().splitlines()
    if re.match(r"\| (none|enf|sha|dis|exc)", line)
]
GOLD, SILVER, ANYONE = 'principal.plan == "gold"', 'principal.plan == "silver"', 'request.method == "GET"'
AUTHORIZE = {
    "holds": [("api", "enforce", GOLD)],
    "doesn't hold": [("api", "enforce", SILVER)],
    "shadow, doesn't hold": [("api", "shadow", SILVER)],
    "disabled, doesn't hold": [("api", "disabled", SILVER)],
    "gateway-wide doesn't hold, the API's own holds": [("all", "enforce", SILVER), ("api", "enforce", GOLD)],
    "gateway-wide holds, the API's own doesn't hold": [("all", "enforce", GOLD), ("api", "enforce", SILVER)],
    "holds for anyone": [("api", "enforce", ANYONE)],
    "asks for the principal": [("api", "enforce", GOLD)],
    "none": [],
    "any": [("api", "enforce", ANYONE)],
}
FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {plan: string}
---
kind: Consumer
name: acme
attributes: {plan: gold}
"""


def documents(i: int, row: tuple[str, ...], port: int) -> str:
    """The resources that make a line of the table, on `/row<i>`."""
    authenticate, public, authorize = row[:3]
    path, api = f"/row{i}", f"row{i}"
    found = [f"kind: Api\nname: {api}\npaths: [{path}]\nupstream: http://127.0.0.1:{port}"]
    if authenticate != "none":
        mode = "enforce" if authenticate == "excepted" else authenticate
        left_out = f", except: [{path}]" if authenticate == "excepted" else ""
        found.append(f"kind: Authenticate\nname: {api}\ntarget: {{api: {api}{left_out}}}\nmode: {mode}\nany: [api_key]")
    if public != "none":
        found.append(f"kind: Public\nname: {api}\ntarget: {{api: {api}}}\nmode: {public}\nreason: a line of the table")
    for n, (where, mode, condition) in enumerate(AUTHORIZE[authorize]):
        # A gateway-wide policy is kept to this line by its path; its target names no API.
        target = f"{{api: {api}}}" if where == "api" else f"{{paths: [{path}]}}"
        found.append(f"kind: Authorize\nname: {api}-{n}\ntarget: {target}\nmode: {mode}\nallow: '{condition}'")
    return "".join(f"\n---\n{one}" for one in found)


def test_the_table_is_read() -> None:
    assert len(ROWS) == 18
    assert all(len(row) == 5 and row[2] in AUTHORIZE for row in ROWS)


@pytest.mark.parametrize("i", [i for i, row in enumerate(ROWS) if "error" in row[4]])
def test_a_line_that_is_an_error_when_written(i: int) -> None:
    found = assemble([read(FRAME.replace("{port}", "0") + documents(i, ROWS[i], 9), "row.yaml")], {})
    assert isinstance(found, Snapshot)
    assert {problem.code for problem in compile(found).problems} == {"route-unauthenticated"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gw(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    with upstream() as port:
        text = FRAME + "".join(documents(i, row, port) for i, row in enumerate(ROWS) if "error" not in row[4])
        async with gateway(tmp_path_factory.mktemp("precedence"), {"all.yaml": text}) as made:
            yield made


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("i", [i for i, row in enumerate(ROWS) if "error" not in row[4]])
async def test_a_line(gw: Gateway, i: int) -> None:
    row = ROWS[i]
    headers = {}
    if row[3] == "a good key":
        _, headers["x-api-key"] = gw.new_key("acme")

        async def known() -> bool:
            return (await gw.get(f"/row{i}", headers=headers)).status_code != 401

        await gw.eventually(known)
    for below in ("", "/below/it"):
        assert (await gw.get(f"/row{i}{below}", headers=headers)).status_code == int(row[4]), row
