"""How much of the recent traffic a brake would meet."""

from pathlib import Path

import orjson
import pytest

from bartizan.telemetry.impact import impact, met_by

SINCE = "2026-11-20T00:00:00"


def kept(folder: Path, *records: dict[str, object], name: str = "requests.jsonl") -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"".join(orjson.dumps({"time": "2026-11-20T10:00:00Z", **one}) + b"\n" for one in records))


@pytest.mark.parametrize(
    ("what", "value", "record", "meets"),
    [
        ("ip", "192.0.2.0/24", {"source": "192.0.2.7"}, True),
        ("ip", "192.0.2.0/24", {"source": "192.0.3.7"}, False),
        ("ip", "192.0.2.7/32", {"source": "::ffff:192.0.2.7"}, True),
        ("ip", "2001:db8::/32", {"source": "2001:db8::7"}, True),
        ("ip", "192.0.2.0/24", {"source": "192.0.2.0/24"}, False),  # pseudonymised: nobody can tell
        ("ip", "0.0.0.0/0", {}, False),
        ("path", "/orders", {"path": "/orders"}, True),
        ("path", "/orders", {"path": "/Orders/1"}, True),
        ("path", "/orders", {"path": "/orders-old"}, False),
        ("path", "/", {"path": "/anything"}, True),
        ("consumer", "acme", {"principal": "acme"}, True),
        ("consumer", "acme", {"principal": "acme2"}, False),
        ("key", "key_1", {"key": "key_1"}, True),
        ("key", "key_1", {"principal": "key_1"}, False),
    ],
)
def test_which_records_a_brake_would_have_refused(what: str, value: str, record: dict[str, object], meets: bool) -> None:
    assert met_by(what, value)(record) is meets


def test_what_is_counted(tmp_path: Path) -> None:
    kept(
        tmp_path / "r",
        {"principal": "acme"},
        {"principal": "acme"},
        {"principal": "globex"},
        {},
        {"principal": "acme", "time": "2026-11-19T23:59:59Z"},
    )
    found = impact(tmp_path / "r", SINCE, lambda record: record.get("principal") != "globex")
    assert (found.requests, found.matched, found.share, found.consumers) == (4, 3, 0.75, ("acme", "nobody"))


def test_what_a_crash_has_cut_is_left_out_and_nothing_is_no_share(tmp_path: Path) -> None:
    kept(tmp_path / "r", {"principal": "acme"})
    with (tmp_path / "r" / "requests.jsonl").open("ab") as opened:
        opened.write(b'{"time": "2026-11-20T')
    assert impact(tmp_path / "r", SINCE, lambda _: True).requests == 1
    (tmp_path / "empty").mkdir()
    assert impact(tmp_path / "empty", SINCE, lambda _: True).share == 0.0
