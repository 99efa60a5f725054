"""Test files, read: their forms, what is shared, and every mistake at its place."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bartizan.cases.case import Caller
from bartizan.cases.read import case_files, read

MANY = """
given: {path: /orders, principal: acme, headers: {a: x}}
cases:
  - {name: one, expect: allow}
  - {name: two, given: {principal: nobody, headers: {b: [y, z]}}, expect: refuse}
---
- {name: three, given: {path: /x, at: 2026-11-23T09:00:00Z, size: 64KiB}, expect: allow}
---
name: four
given:
  path: /y
  principal: {issuer: corp, subject: ines, claims: {level: 7, roles: [a]}}
expect: refuse
by: default deny
"""


def test_a_document_is_a_suite_a_list_or_a_case() -> None:
    found = read(MANY, "f")
    assert found.problems == ()
    one, two, three, four = found.found
    assert [str(case.place()) for case in found.found] == ["f:4 one", "f:5 two", "f:7 three", "f:9 four"]
    assert (one.given.path, one.given.principal, one.given.headers) == ("/orders", Caller(consumer="acme"), {"a": ("x",)})
    assert (two.given.path, two.given.principal, two.given.headers) == ("/orders", None, {"b": ("y", "z")})
    assert (three.given.at, three.given.size) == (datetime(2026, 11, 23, 9, tzinfo=UTC), 65536)
    assert four.given.principal is not None and four.given.principal.claims == {"level": 7, "roles": ["a"]}
    assert str(four.place("given", "principal")) == "f:12 four: given.principal"
    assert str(one.place("given", "principal")) == "f:2 given.principal"
    assert str(two.place("given", "principal")) == "f:5 two: given.principal"


@pytest.mark.parametrize(
    ("case", "at", "message"),
    [
        ("{name: x, expect: allow, given: {path: /a, methd: GET}}", "x: given.methd", "there is no field 'methd' here"),
        ("{name: x, expects: allow, given: {path: /a}}", "x: expect", "the field 'expect' is missing"),
        ("{expect: allow, given: {path: /a}}", "case 1: name", "the field 'name' is missing"),
        ("{name: x, expect: deny, given: {path: /a}}", "x: expect", "Input should be 'allow' or 'refuse'"),
        ("{name: x, expect: allow}", "x: given", "the field 'path' is missing"),
        ("{name: x, expect: allow, given: {path: ''}}", "x: given.path", "String should have at least 1 character"),
        ("{name: x, expect: allow, by: A/b, given: {path: /a}}", "x", "by goes with `expect: refuse`"),
        ("{name: x, expect: allow, status: 403, given: {path: /a}}", "x", "status goes with `expect: refuse`"),
        ("{name: x, expect: refuse, status: 200, given: {path: /a}}", "x: status", "greater than or equal to 300"),
        ("{name: x, expect: refuse, shadow: {A/b: no}, given: {path: /a}}", "x: shadow.A/b", "'allow' or 'refuse'"),
        ("{name: x, expect: allow, given: {path: /a, at: 2026-11-23T09:00:00}}", "x: given.at", "a time has its zone"),
        ("{name: x, expect: allow, given: {path: /a, at: 7}}", "x: given.at", "a time has its zone"),
        ("{name: x, expect: allow, given: {path: /a, source: 10.0.0.0/8}}", "x: given.source", "isn't an IP address"),
        ("{name: x, expect: allow, given: {path: /a, size: -1}}", "x: given.size", "greater than or equal to 0"),
        ("{name: x, expect: allow, given: {path: /a, headers: {a: 7}}}", "x: given.headers.a[0]", "valid string"),
        ("{name: x, expect: allow, given: {path: /a, headers: [a]}}", "x: given.headers", "valid dictionary"),
        (
            "{name: x, expect: allow, given: {path: /a, principal: {issuer: a, subject: b, claims: {c: [99999999999999999999]}}}}",
            "x: given.principal.claims",
            "a token can't hold these claims",
        ),
        ("{name: x, expect: allow, given: {path: /a, device: {type: bot}}}", "x: given.device.type", "there is no field 'type' here"),
        (
            "{name: x, expect: allow, given: {path: /a, device: {}}}",
            "x: given.device",
            "a device is {id: NAME}, {ja4: FINGERPRINT}, or both",
        ),
        ("{name: x, expect: allow, given: {path: /a, principal: null}}", "x: given.principal", "write `principal: nobody`"),
        ("{name: x, expect: allow, given: {path: /a, principal: {}}}", "x: given.principal", "a caller is a consumer"),
        ("{name: x, expect: allow, given: {path: /a, principal: {issuer: a}}}", "x: given.principal", "issuer goes with subject"),
        ("{name: x, expect: allow, given: {path: /a, principal: {subject: a}}}", "x: given.principal", "subject goes with issuer"),
        ("{name: x, expect: allow, given: {path: /a, principal: {ca: a}}}", "x: given.principal", "ca goes with san or fingerprint"),
        (
            "{name: x, expect: allow, given: {path: /a, principal: {consumer: a, issuer: b, subject: c}}}",
            "x: given.principal",
            "consumer and issuer are several callers",
        ),
        (
            "{name: x, expect: allow, given: {path: /a, principal: {consumer: a, claims: {b: 1}}}}",
            "x: given.principal",
            "claims goes with issuer",
        ),
        (
            "{name: x, expect: allow, given: {path: /a, principal: {isuer: a, subject: b}}}",
            "x: given.principal.isuer",
            "there is no field 'isuer' here",
        ),
    ],
)
@pytest.mark.parametrize(("form", "line"), [("{}", 1), ("# a list\n- {}", 2), ("given: {{method: GET}}\ncases:\n  - {}", 3)])
def test_a_mistake_is_told_where_it_is(form: str, line: int, case: str, at: str, message: str) -> None:
    found = read(form.format(case), "f")
    assert found.found == () or "path" in message
    told = {(one.at.line, one.at.path): one.message for one in found.problems}
    assert message in told.get((line, at), ""), told
    misspelt = "expects" in case
    assert len(found.problems) == len(told) == (2 if misspelt else 1), found.problems


@pytest.mark.parametrize(
    ("text", "line", "code", "message"),
    [
        ("- {name: x, given: {path: /a}, expect: allow}\n" * 2, 2, "name-taken", "there are two cases 'x'"),
        ("\nkind: Authorize\nname: x\nallow: 'true'", 2, "kind-in-test", "a test file holds cases, and declares nothing"),
        ("given: {path: /a}\ncase: []", 2, "field-extra-forbidden", "there is no field 'case' here"),
        ("cases: []", 1, "field-value-error", "there are no cases here"),
        ("[]", 1, "field-value-error", "there are no cases here"),
        ("cases: 7", 1, "field-tuple-type", "Input should be a valid tuple"),
        ("- 7", 1, "field-model-type", "Input should be a valid dictionary or instance of Case"),
        ("text", 1, "case-missing", "a test file holds cases"),
        ("given: {pth: /a}\ncases: [{name: x, expect: allow}]", 1, "field-extra-forbidden", "there is no field 'pth' here"),
        ("\n- {name: x, name: y}", 2, "yaml-unreadable", "the key 'name' is given twice"),
    ],
)
def test_a_mistake_of_a_whole_document_is_told(text: str, line: int, code: str, message: str) -> None:
    told = [(one.at.line, one.code, one.message) for one in read(text, "f").problems]
    assert any(one[:2] == (line, code) and message in one[2] for one in told), told


def test_a_misspelt_field_is_told_with_the_one_that_was_meant() -> None:
    problems = read("given: {pth: /a}\ncases: [{name: x, expects: allow, given: {hots: b, principal: {cas: c}}}]", "f").problems
    hints = {one.hint for one in problems if one.code == "field-extra-forbidden"}
    assert hints == {f"Did you mean {name!r}?" for name in ("path", "expect", "host", "ca")}


def test_the_files_that_test_a_folder_or_a_file(tmp_path: Path) -> None:
    for name in ("b/c.test.yaml", "a.test.yaml", "all.yaml", "all.test.yml", ".hidden/x.test.yaml", "b/.y.test.yaml", "b/test.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("- {name: x, given: {path: /a}, expect: allow}")
    found = case_files(tmp_path)
    assert (found.policies, [str(path.relative_to(tmp_path)) for path in found.paths]) == (
        tmp_path,
        ["a.test.yaml", "all.test.yml", "b/c.test.yaml"],
    )
    assert case_files(tmp_path / "all.yaml").paths == (tmp_path / "all.test.yml",)
    assert case_files(tmp_path / "b" / "test.yaml").paths == ()
    assert case_files(tmp_path / "a.test.yaml").policies == tmp_path
    (tmp_path / "gone.test.yaml").symlink_to("nowhere")
    (tmp_path / "bytes.test.yaml").write_bytes(b"\xff")
    problems = case_files(tmp_path).read().problems
    assert [(one.at.file, one.code) for one in problems] == [(name, "file-unreadable") for name in ("bytes.test.yaml", "gone.test.yaml")]
