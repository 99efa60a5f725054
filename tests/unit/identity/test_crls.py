"""Lists of revoked client certificates: what is taken, what changes nothing, and what is told."""

from pathlib import Path

import pytest

from bartizan.condition import Schema
from bartizan.identity.crls import Lists
from bartizan.model.snapshot import Snapshot
from bartizan.policies.tls import Tls
from tests.certificates import Authority, authority
from tests.unit.meaning.made import made

CORP, OTHER = authority("Corp"), authority("Other")
ONE, TWO = CORP.client("spiffe://corp/one"), CORP.client("spiffe://corp/two")
TLS = (
    "{kind: Tls, name: safe, target: {listener: web}, certificate: web.pem, private_key: {file: web.key}, "
    "client_cas: {corp: corp.pem}, crls: {corp: {file: corp.crl}}}"
)


def snapshot(bundle: bytes = CORP.pem, text: str = TLS) -> Snapshot:
    return made(text, files={"corp.pem": bundle}).snapshot


def write(folder: Path, content: bytes) -> None:
    partial = folder / "partial"
    partial.write_bytes(content)
    partial.replace(folder / "corp.crl")


@pytest.fixture
def lists(tmp_path: Path) -> Lists:
    write(tmp_path, CORP.crl(ONE))
    made_of = Lists(tmp_path)
    assert not list(made_of.problems(snapshot()))
    assert made_of.declare(snapshot())
    return made_of


def test_a_newer_list_is_taken_once(lists: Lists, tmp_path: Path) -> None:
    assert lists.bodies() == {"safe": (tmp_path / "corp.crl").read_bytes()}
    assert not lists.refresh() and not lists.warnings()
    write(tmp_path, CORP.crl(ONE, TWO, days=(-0.5, 30)))
    assert lists.refresh() and not lists.refresh()
    assert lists.bodies() == {"safe": (tmp_path / "corp.crl").read_bytes()}


BAD = {
    "none": (b"", "has signed"),
    "junk": (b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "can't be read"),
    "no UTF-8": (b"\xff\xfe", "can't be read"),
    "another's": (OTHER.crl(), "has signed"),
    "forged": (CORP.crl(by=OTHER), "has signed"),
    "older": (CORP.crl(days=(-2, 30)), "is older than"),
    "not yet valid": (CORP.crl(days=(1, 30)), "isn't valid before"),
    "with a forged one beside it": (CORP.crl(days=(-0.5, 30)) + CORP.crl(days=(-0.5, 30), by=OTHER), "isn't signed by this CA"),
    "with another's beside it": (CORP.crl(days=(-0.5, 30)) + OTHER.crl(), "isn't signed by this CA"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_isnt_good_changes_nothing_and_is_told(lists: Lists, tmp_path: Path, name: str) -> None:
    before = lists.bodies()
    content, told = BAD[name]
    write(tmp_path, content)
    assert not lists.refresh() and lists.bodies() == before
    (warning,) = lists.warnings()
    assert told in warning and "the list before counts" in warning
    write(tmp_path, CORP.crl(ONE, days=(-0.25, 30)))
    assert lists.refresh() and not lists.warnings()


def test_a_tampered_list_changes_nothing(lists: Lists, tmp_path: Path) -> None:
    before, good = lists.bodies(), CORP.crl(days=(-0.5, 30)).decode().splitlines()
    good[2] = good[2].swapcase()
    write(tmp_path, "\n".join(good).encode())
    assert not lists.refresh() and lists.bodies() == before and lists.warnings()


def test_a_list_that_is_gone_stays_as_it_was(lists: Lists, tmp_path: Path) -> None:
    before = lists.bodies()
    (tmp_path / "corp.crl").unlink()
    assert not lists.refresh() and lists.bodies() == before
    assert "can't be read; the list before counts" in lists.warnings()[0]


@pytest.mark.parametrize("name", [*BAD, "gone"])
def test_without_a_good_list_there_is_none_and_nothing_new_begins(tmp_path: Path, name: str) -> None:
    lists = Lists(tmp_path)
    if name != "gone":
        write(tmp_path, BAD[name][0])
    problems = list(lists.problems(snapshot()))
    if name == "older":  # than none there is nothing to be older
        assert not problems
        return
    assert [(one.code, one.at.path) for one in problems] == [("crl-unusable", "Tls/safe: crls.corp")]
    lists.declare(snapshot())
    assert lists.bodies() == {}
    assert "client certificates are refused" in lists.warnings()[0]


def test_its_end_is_warned_of_and_an_expired_one_is_taken_since_it_lets_nobody_in(tmp_path: Path) -> None:
    lists = Lists(tmp_path)
    for days, told in (((-1.0, 0.5), "expires at"), ((-0.9, -0.1), "has expired at")):
        write(tmp_path, CORP.crl(days=days))
        lists.declare(snapshot())
        assert any(told in one for one in lists.warnings())
        assert lists.bodies()


def test_each_certificate_of_a_ca_has_its_list(tmp_path: Path) -> None:
    second = Authority(OTHER.subject)
    bundle, lists = CORP.pem + second.pem, Lists(tmp_path)
    write(tmp_path, CORP.crl())
    assert [one.code for one in lists.problems(snapshot(bundle))] == ["crl-unusable"]
    write(tmp_path, CORP.crl() + second.crl())
    assert not list(lists.problems(snapshot(bundle)))
    lists.declare(snapshot(bundle))
    assert lists.bodies()["safe"].count(b"BEGIN X509 CRL") == 2


def test_a_list_of_a_ca_that_was_replaced_counts_no_more(lists: Lists, tmp_path: Path) -> None:
    assert lists.declare(snapshot(OTHER.pem))
    assert lists.bodies() == {}


def test_some_with_and_some_without_a_list_is_a_mistake() -> None:
    (tls,) = (one for one in snapshot().policies if isinstance(one, Tls))
    for cas in ({"corp": "corp.pem", "other": "other.pem"}, {"other": "other.pem"}, {}):
        wrong = tls.model_copy(update={"client_cas": cas})
        assert [one.code for one in wrong.faults(Schema(), {})] == ["crl-of-some"]
    assert not list(tls.faults(Schema(), {"corp.pem": CORP.pem}))


def test_without_a_good_list_no_certificate_is_trusted() -> None:
    (tls,) = (one for one in snapshot().policies if isinstance(one, Tls))
    files = {"corp.pem": CORP.pem}
    assert b"0" * 64 in tls.trusted(files, None)["client-cas/safe"]
    assert tls.secrets(files) == tls.trusted(files, None)  # what a revision brings by itself lets nobody in
    assert b"0" * 64 not in tls.trusted(files, CORP.crl())["client-cas/safe"]
