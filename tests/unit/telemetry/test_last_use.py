"""When keys were last used: told by records, over rotations and restarts, of all nodes."""

import json
import time
from pathlib import Path

import orjson
import pytest

from bartizan.telemetry.last_use import FILE, LastUse, used

A, B, C = (f"key_{letter * 12}" for letter in "abc")


def line(minute: str, key: str | None, **more: str) -> str:
    """A record as Envoy writes it."""
    told = {"time": f"{minute}:12.345Z", "request_id": more.pop("request_id", "r"), "principal": "acme"}
    told |= {"auth_method": "api_key", "key": key} if key else {}
    return json.dumps({**told, **more}, separators=(",", ":"), sort_keys=True) + "\n"


def at(minute: str) -> int:
    return int(time.mktime(time.strptime(minute + "UTC", "%Y-%m-%dT%H:%M%Z"))) - time.timezone


class Rig:
    """A state with records."""

    def __init__(self, folder: Path) -> None:
        self.state, self.records = folder, folder / "records"
        self.records.mkdir()
        self.known = {A, B}
        self.uses = self.begun()

    def begun(self) -> LastUse:
        return LastUse(self.state, self.records, self.known.__contains__)

    def write(self, text: str, name: str = "requests.jsonl") -> None:
        path = self.records / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(text)

    def told(self) -> dict[str, int | None]:
        self.uses.look()
        return {name: self.uses.of(name) for name in (A, B, C) if self.uses.of(name) is not None}


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_the_last_use_counts_and_only_of_keys_that_are_known(rig: Rig) -> None:
    assert rig.told() == {}
    rig.write(line("2026-11-20T10:00", A) + line("2026-11-20T10:05", C) + line("2026-11-20T10:06", None) + line("2026-11-20T10:07", A))
    assert rig.told() == {A: at("2026-11-20T10:07")}
    rig.write(line("2026-11-20T10:03", A) + line("2026-11-20T11:00", B))
    assert rig.told() == {A: at("2026-11-20T10:07"), B: at("2026-11-20T11:00")}


def test_what_callers_send_cant_look_like_a_use(rig: Rig) -> None:
    forged = f'","key":"{B}","x":"'
    forged += '","time":"2026-11-20T23:00:00Z","y":"'
    sent = {"path": f"/{forged}", "user_agent": forged, "host": forged, "traceparent": forged}
    rig.write(line("2026-11-20T10:00", None, **sent) + line("2026-11-20T10:01", A, **sent))
    assert rig.told() == {A: at("2026-11-20T10:01")}


def test_a_line_that_is_written_only_half_is_read_when_it_is_whole(rig: Rig) -> None:
    whole = line("2026-11-20T10:00", A)
    rig.write(whole[:60])
    assert rig.told() == {}
    rig.write(whole[60:] + line("2026-11-20T10:09", B)[:70])
    assert rig.told() == {A: at("2026-11-20T10:00")}
    rig.write(line("2026-11-20T10:09", B)[70:])
    assert rig.told() == {A: at("2026-11-20T10:00"), B: at("2026-11-20T10:09")}


def test_no_record_is_passed_over_or_read_twice_when_files_rotate(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.write(line("2026-11-20T10:00", A, request_id="first"))
    assert rig.told() == {A: at("2026-11-20T10:00")}
    (rig.records / "requests.jsonl").rename(rig.records / "requests-20261120T100000-000000001.jsonl")
    rig.write(line("2026-11-20T10:02", A), "requests-20261120T100000-000000001.jsonl")  # Envoy writes there until it reopens
    rig.write(line("2026-11-20T10:01", B, request_id="second"))
    assert rig.told() == {A: at("2026-11-20T10:02"), B: at("2026-11-20T10:01")}
    read = {head: end for heads in used_of(rig).values() for head, end in heads.items()}
    assert sorted(read.values()) == sorted(path.stat().st_size for path in rig.records.glob("*.jsonl"))
    (rig.records / "requests-20261120T100000-000000001.jsonl").unlink()
    rig.told()
    assert len(used_of(rig)["."]) == 1  # of what is gone nothing is kept


def used_of(rig: Rig) -> dict[str, dict[str, int]]:
    rig.uses.keep()
    return used(rig.state).read


def test_a_restart_goes_on_where_it_ended(rig: Rig) -> None:
    rig.write(line("2026-11-20T10:00", B) + line("2026-11-20T10:00", A))
    rig.told()
    rig.uses.end()
    path = rig.records / "requests.jsonl"
    first = len(line("2026-11-20T10:00", B))
    path.write_bytes(path.read_bytes()[:first] + line("2026-11-20T23:00", A).encode())  # what was read isn't read again
    rig.write(line("2026-11-20T10:30", B))
    rig.uses = rig.begun()
    assert rig.uses.of(A) == at("2026-11-20T10:00")
    assert rig.told() == {A: at("2026-11-20T10:00"), B: at("2026-11-20T10:30")}
    assert used(rig.state).since == at("2026-11-20T10:00")


def test_nodes_of_other_machines_count_too(rig: Rig) -> None:
    rig.write(line("2026-11-20T10:00", A))
    rig.write(line("2026-11-20T10:10", A), "nodes/n1/requests.jsonl")
    rig.write(line("2026-11-20T10:20", B), "nodes/n2/requests.jsonl")
    assert rig.told() == {A: at("2026-11-20T10:10"), B: at("2026-11-20T10:20")}


def test_nobody_uses_a_key_in_the_future(rig: Rig) -> None:
    rig.write(line("2999-11-20T10:00", A))
    (when,) = rig.told().values()
    assert when is not None and time.time() - 120 < when <= time.time()


def test_revoked_keys_are_forgotten(rig: Rig) -> None:
    rig.write(line("2026-11-20T10:00", A) + line("2026-11-20T10:00", B))
    rig.told()
    rig.known.remove(B)
    rig.uses.keep()
    assert set(used(rig.state).keys) == {A}


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'{"keys":{}}', b"null"])
def test_a_file_that_cant_be_read_is_made_anew(rig: Rig, junk: bytes) -> None:
    (rig.state / FILE).write_bytes(junk)
    rig.write(line("2026-11-20T10:00", A))
    rig.uses = rig.begun()
    assert rig.told() == {A: at("2026-11-20T10:00")}
    rig.uses.keep()
    assert orjson.loads((rig.state / FILE).read_bytes())["keys"] == {A: at("2026-11-20T10:00")}


def test_lines_that_are_no_records_are_passed_over(rig: Rig) -> None:
    odd = f'{{"key":"{A}"}}\n\x00\xff{{"time":"yesterday at noon..","key":"{A}"}}\n'
    rig.write(odd + line("2026-11-20T10:00", B))
    assert rig.told() == {B: at("2026-11-20T10:00")}


def test_ten_thousand_requests_a_second_cost_little(rig: Rig) -> None:
    rig.known.update(f"key_{n:012}".translate(str.maketrans("0189", "abcd")) for n in range(1000))
    keys = sorted(rig.known)
    pad = "x" * 500
    rig.write("".join(line("2026-11-20T10:00", keys[n % 1000], path=pad) for n in range(100_000)))
    began = time.process_time()
    rig.uses.look()
    assert time.process_time() - began < 1.0  # a tenth of a second for each of these ten: it is a tenth of that


def shown(letter: str, days: float, **more: str) -> str:
    """A record of a request that came with a client certificate which ends in so many days."""
    told = {"auth_method": "mtls", "certificate": letter * 64, "certificate_ends": str(int(time.time() + days * 86400))}
    return json.dumps({"time": "2026-11-20T10:00:12.345Z", "principal": f"fleet|{letter}", **told, **more}, separators=(",", ":")) + "\n"


def warned(uses: LastUse) -> list[str]:
    """Whose certificates are told to end."""
    return [one.partition(" of ")[2].partition(" expires")[0] for one in uses.warnings(time.time())]


def test_certificates_that_end_soon_are_told_the_next_to_end_first(rig: Rig) -> None:
    rig.write(shown("a", 10) + shown("b", 20) + shown("c", 3) + shown("d", -1) + line("2026-11-20T10:00", A))
    assert rig.told() == {A: at("2026-11-20T10:00")}
    assert warned(rig.uses) == ["fleet|c", "fleet|a"]
    assert "certificate cccccccccccccccc..." in rig.uses.warnings(time.time())[0]
    rig.uses.end()
    assert warned(rig.begun()) == ["fleet|c", "fleet|a"]
    assert rig.begun().warnings(time.time() + 5 * 86400)[0].startswith("the client certificate aaaaaaaaaaaaaaaa...")


def test_one_that_was_refused_is_nobodys_and_one_of_a_device_is_told(rig: Rig) -> None:
    rig.write(shown("a", 3, auth_method="") + shown("b", 3, auth_method="api_key", principal="acme", device_id="laptop"))
    rig.write(shown("c", 3, certificate_ends="soon") + shown("d", 3, certificate_ends=""))
    rig.uses.look()
    assert warned(rig.uses) == ["acme"]


def test_many_are_told_as_a_number_and_nothing_unprintable_is(rig: Rig) -> None:
    for number in range(25):
        rig.write(shown("a", 3, certificate=f"{number:064}", principal=f"fleet|\u202e{number}\n"))
    rig.uses.look()
    found = rig.uses.warnings(time.time())
    assert len(found) == 21 and found[-1] == "5 more client certificates expire soon"
    assert all(one.isprintable() for one in found)
