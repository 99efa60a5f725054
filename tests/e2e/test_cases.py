"""`bartizan test` as people run it: cases beside the policies, asked of the real Envoy."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.certificates import authority, ca

ROOT = Path(__file__).parents[2]

RESOURCES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
attributes: {plan: string, department: string}
---
kind: Api
name: orders
paths: [/orders]
methods: [GET, POST]
upstream: http://127.0.0.1:9101
---
kind: Consumer
name: acme
attributes: {plan: gold, department: finance}
---
kind: Consumer
name: globex
attributes: {plan: free, department: sales}
---
kind: Consumer
name: gone
disabled: true
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {keys: []}
attributes: {department: dept}
groups: roles
---
kind: Authenticate
name: callers
target: {api: orders, except: [/orders/health]}
any: [api_key, {jwt: corp}]
---
kind: Public
name: health
target: {api: orders, paths: [/orders/health]}
reason: monitoring has no credentials
---
kind: Authorize
name: refunds
target: {api: orders, methods: [POST], paths: [/orders/refunds]}
allow: principal.department == "finance"
---
kind: Authorize
name: candidate
target: {api: orders, except: [/orders/health]}
allow: principal.plan == "gold"
mode: shadow
---
kind: Authorize
name: hours
target: {api: orders, paths: [/orders/hours]}
allow: now.between("09:00", "17:00", "Europe/Berlin")
---
kind: Authorize
name: office
target: {api: orders, paths: [/orders/office]}
allow: source.ip.within(["198.51.100.0/24"])
---
kind: Authorize
name: device
target: {api: orders, paths: [/orders/device]}
allow: principal.plan == "gold" && device.type != "bot" && device.ja4 == "t13d1516h2_8daaf6152771_b186095e22b6"
---
kind: Authorize
name: operators
target: {api: orders, paths: [/orders/ops]}
allow: '"ops" in principal.groups'
"""

PASS = """
- {name: nobody, given: {path: /orders}, expect: refuse, by: Authenticate/callers, status: 401}
- {name: nobody in so many words, given: {path: /orders/health, principal: nobody}, expect: allow}
- {name: disabled, given: {path: /orders, principal: gone}, expect: refuse, by: credentials, status: 401}
- {name: wrong key, given: {path: /orders, headers: {x-api-key: bz_wrong}}, expect: refuse, by: credentials}
- {name: two keys, given: {path: /orders, headers: {x-api-key: [one, two]}}, expect: refuse, by: ambiguous-credential}
- {name: no method, given: {path: /orders, method: DELETE, principal: acme}, expect: refuse, by: method-not-allowed}
- {name: nowhere, given: {path: /ordres, principal: acme}, expect: refuse, by: no-api, status: 404}
---
given: {principal: acme, path: /orders/hours}
cases:
  - {name: in hours, given: {at: "2026-11-23T09:00:00+01:00"}, expect: allow}
  - {name: summer, given: {at: 2026-07-20T07:00:00Z}, expect: allow}
  - {name: after hours, given: {at: 2026-11-23T17:00:00+01:00}, expect: refuse, by: Authorize/hours}
  - {name: in the office, given: {path: /orders/office, source: 198.51.100.7}, expect: allow}
  - {name: elsewhere, given: {path: /orders/office, source: 203.0.113.7}, expect: refuse, by: Authorize/office, status: 403}
---
given: {principal: acme, path: /orders/device, device: {ja4: t13d1516h2_8daaf6152771_b186095e22b6}}
cases:
  - {name: known device, given: {headers: {user-agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0}}, expect: allow}
  - {name: a bot, given: {headers: {user-agent: Googlebot/2.1}}, expect: refuse, by: Authorize/device}
  - {name: another, given: {device: {ja4: t13d}, headers: {user-agent: Firefox/130.0}}, expect: refuse, by: Authorize/device}
---
given:
  principal: {issuer: corp, subject: ines, claims: {dept: finance, roles: [ops], level: 7}}
  path: /orders/ops
cases:
  - {name: a token, expect: allow, shadow: {Authorize/candidate: refuse}}
  - {name: its refund, given: {method: POST, path: /orders/refunds}, expect: allow}
  - name: another token
    given: {principal: {issuer: corp, subject: bob, claims: {dept: sales}}, method: POST, path: /orders/refunds}
    expect: refuse
    by: Authorize/refunds
---
name: shadow
given: {principal: acme, path: /orders}
expect: allow
shadow: {Authorize/candidate: allow}
"""

FAIL = """
given: {principal: globex, method: POST, path: /orders/refunds}
cases:
  - {name: let through, expect: allow}
  - {name: wrong policy, expect: refuse, by: Authorize/hours}
  - {name: wrong status, expect: refuse, by: Authorize/refunds, status: 404}
  - {name: wrong shadow, given: {path: /orders}, expect: allow, shadow: {Authorize/candidate: allow}}
  - {name: no shadow, given: {path: /orders/health}, expect: allow, shadow: {Authorize/candidate: allow}}
  - {name: unasked shadow, given: {principal: nobody}, expect: refuse, shadow: {Authorize/candidate: refuse}}
  - {name: nowhere, given: {path: /ordres}, expect: refuse}
  - {name: not refused, given: {path: /orders}, expect: refuse, by: default deny}
  - {name: 'odd <name> & "quotes" ]]> \N{SNOWMAN} é', expect: allow}
  - {name: "control \\x01\\uFFFE \\e[31m", expect: allow}
  - {name: good, expect: refuse}
"""


def bartizan(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bartizan.cli.main", "test", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, cwd=cwd)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "all.yaml").write_text(RESOURCES)
    return folder


def told(*arguments: object) -> dict[str, Any]:
    return dict(json.loads(bartizan(*arguments, "--json").stdout))


def test_cases_of_every_sort_pass(files: Path) -> None:
    (files / "below").mkdir()
    (files / "below" / "orders.test.yaml").write_text(PASS)
    ran = bartizan("-f", files)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert re.fullmatch(r"19 passed in \d+\.\d s: revision \w{16}\n", ran.stdout)
    found = told("-f", files)
    assert (found["passed"], found["failed"], found["problems"]) == (19, 0, [])
    assert {one["file"] for one in found["cases"]} == {"below/orders.test.yaml"}
    assert found["cases"][0] == {
        "name": "nobody",
        "file": "below/orders.test.yaml",
        "line": 2,
        "passed": True,
        "expected": {"expect": "refuse", "by": "Authenticate/callers", "status": 401, "shadow": {}},
        "happened": {
            "expect": "refuse",
            "by": "Authenticate/callers",
            "status": 401,
            "why": "the request shows no credential that it accepts",
            "shadow": {"Authorize/candidate": "not reached"},
        },
        "mismatches": [],
        "explanation": None,
    }


CERTIFICATES = """
kind: Tls
name: web
certificate: web.pem
private_key: {file: web.key}
client_cas: {partners: partners.pem}
---
kind: Consumer
name: initech
attributes: {plan: gold, department: finance}
credentials: [{certificate: {ca: partners, san: spiffe://initech}}, {fingerprint: FINGERPRINT}]
---
kind: Authenticate
name: machines
target: {api: orders, except: [/orders/health]}
any: [{mtls: partners}]
---
kind: Authorize
name: secure
target: {api: orders}
allow: request.scheme == "https"
"""
BY_CERTIFICATE = """
given: {path: /orders/refunds, method: POST}
cases:
  - {name: by its name, given: {principal: {ca: partners, san: "spiffe://initech"}}, expect: allow}
  - {name: by its fingerprint, given: {principal: {ca: partners, fingerprint: FINGERPRINT}}, expect: allow}
  - {name: of nobody, given: {principal: {ca: partners, san: "spiffe://other"}}, expect: refuse, by: Authorize/refunds}
  - {name: a key, given: {principal: acme}, expect: refuse, by: Authenticate/machines}
"""


def test_a_certificate_is_its_consumer(files: Path) -> None:
    (files / "partners.pem").write_bytes(ca("Partners"))
    authority("Web").issue("localhost").save(files, "web")
    (files / "all.yaml").write_text(RESOURCES.replace("any: [api_key, {jwt: corp}]", "any: [api_key, {mtls: partners}]"))
    (files / "tls.yaml").write_text(CERTIFICATES.replace("FINGERPRINT", "ab" * 32))
    (files / "tls.test.yaml").write_text(BY_CERTIFICATE.replace("FINGERPRINT", "ab" * 32))
    assert bartizan("-f", files).stdout.startswith("4 passed")
    (files / "tls.test.yaml").write_text(BY_CERTIFICATE.replace("FINGERPRINT", "ab" * 32).replace("ca: partners", "ca: partner"))
    ran = bartizan("-f", files)
    assert ran.returncode == 1 and "there is no CA 'partner'" in ran.stdout and "Did you mean 'partners'?" in ran.stdout


def test_what_fails_says_what_was_expected_what_happened_and_why(files: Path) -> None:
    (files / "orders.test.yaml").write_text(FAIL)
    found = told("-f", files)
    assert (found["passed"], found["failed"]) == (1, 10)
    unmet = "its condition didn't hold"
    said = {one["name"]: one["mismatches"] for one in found["cases"]}
    refused = [f"it was refused by Authorize/refunds: {unmet}"]
    assert said == {
        "let through": refused,
        "wrong policy": refused,
        "wrong status": ["it was refused with 403"],
        "wrong shadow": ["Authorize/candidate in shadow says refuse"],
        "no shadow": ["Authorize/candidate doesn't cover the request"],
        "unasked shadow": ["Authorize/candidate gave no verdict: not reached"],
        "nowhere": [
            "it came to no API: no-api: no API answers on this host and path; write `by: no-api` if that is what you expect",
        ],
        "not refused": ["it was let through"],
        'odd <name> & "quotes" ]]> \N{SNOWMAN} é': refused,
        "control \x01\ufffe \x1b[31m": refused,
        "good": [],
    }
    failed = found["cases"][0]["explanation"]
    assert failed["remedy"] == ['Authorize/refunds lets through where: principal.department == "finance"']
    assert failed["record"]["attributes"] == {"plan": "free", "department": "sales"}
    ran = bartizan("-f", files, "let*", "wrong status")
    assert ran.returncode == 1
    lines = ran.stdout.splitlines()
    assert lines[:3] == [
        "FAIL orders.test.yaml:4 let through",
        "  expected: let through",
        f"  happened: it was refused by Authorize/refunds: {unmet}",
    ]
    assert '    Authorize/refunds lets through where: principal.department == "finance"' in lines
    assert "    Authorize/candidate: denied (shadow)" not in lines and "      Authorize/candidate: denied (shadow)" in lines
    assert "  expected: refused by Authorize/refunds with 404" in lines
    assert lines[-1].startswith("2 failed, 0 passed in ")
    # A name is shown, never obeyed.
    assert "\x1b" not in bartizan("-f", files).stdout


def test_junit_can_be_read_again_whatever_the_names(files: Path, tmp_path: Path) -> None:
    (files / "orders.test.yaml").write_text(FAIL)
    (files / "more.test.yaml").write_text(PASS)
    ran = bartizan("-f", files, "--junit", tmp_path / "out.xml")
    assert ran.returncode == 1 and "10 failed, 20 passed" in ran.stdout
    root = ElementTree.parse(tmp_path / "out.xml").getroot()  # noqa: S314
    suites = {one.get("name"): one for one in root}
    assert set(suites) == {"more.test.yaml", "orders.test.yaml"}
    assert (suites["more.test.yaml"].get("tests"), suites["more.test.yaml"].get("failures")) == ("19", "0")
    bad = suites["orders.test.yaml"]
    assert (bad.get("tests"), bad.get("failures"), bad.get("errors")) == ("11", "10", "0")
    names = [one.get("name") for one in bad]
    assert 'odd <name> & "quotes" ]]> \N{SNOWMAN} é' in names and "control \\x01\\ufffe \\x1b[31m" in names
    failure = bad[1].find("failure")
    assert failure is not None and "refused by Authorize/hours" in str(failure.get("message"))
    assert "Authorize/refunds: denied" in str(failure.text)
    # Mistakes are in the file too, so that no older one is taken for this run's.
    (files / "orders.test.yaml").write_text("- {name: x, given: {path: /orders, principal: acne}, expect: allow}")
    assert bartizan("-f", files, "--junit", tmp_path / "out.xml").returncode == 1
    (error,) = ElementTree.parse(tmp_path / "out.xml").getroot().iter("error")  # noqa: S314
    assert error.get("message") == "there is no Consumer 'acne'" and error.text == "Did you mean 'acme'?"
    assert bartizan("-f", files, "--junit", tmp_path / "no" / "out.xml").returncode == 1


def test_what_is_wrong_is_told_before_anything_is_asked(files: Path) -> None:
    ran = bartizan("-f", files)
    assert ran.returncode == 1 and "there are no cases in" in ran.stderr and "orders.test.yaml" in ran.stderr
    (files / "orders.test.yaml").write_text(PASS)
    ran = bartizan("-f", files, "after ours")
    assert ran.returncode == 1 and "no case is called 'after ours'. Did you mean 'after hours'?" in ran.stderr
    assert bartizan("-f", files, "after*", "nobody *").stdout.startswith("2 passed")
    (files / "orders.test.yaml").write_text("- {name: x, given: {path: /orders}, expects: allow}")
    (files / "bad.yaml").write_text("kind: Consumer\nname: acme")
    ran = bartizan("-f", files)
    assert ran.returncode == 1 and "name-taken" in ran.stdout and "there is no field 'expects' here" in ran.stdout
    assert bartizan("-f", files / "none").returncode == 1
    assert bartizan("-f", files, "--xunit", "x").returncode == 64
    assert bartizan().returncode == 64


def test_a_file_of_either_sort_can_be_named(files: Path) -> None:
    (files / "all.test.yaml").write_text(PASS)
    (files / "other.test.yaml").write_text(FAIL)
    assert bartizan("-f", files / "all.yaml").stdout.startswith("19 passed")
    assert bartizan("-f", files / "all.test.yaml").stdout.startswith("19 passed")
    assert bartizan("-f", "all.yaml", cwd=files).stdout.startswith("19 passed")
    assert bartizan("-f", "all.test.yaml", cwd=files).stdout.startswith("19 passed")


def test_five_hundred_cases_take_seconds(files: Path) -> None:
    cases = [
        f"  - {{name: case {i}, given: {{principal: {('acme', 'globex')[i % 2]}, source: 198.51.{i % 256}.1}}, "
        f"expect: {('allow', 'refuse')[i % 2]}}}"
        for i in range(500)
    ]
    (files / "many.test.yaml").write_text("given: {method: POST, path: /orders/refunds}\ncases:\n" + "\n".join(cases))
    began = time.monotonic()
    ran = bartizan("-f", files)
    took = time.monotonic() - began
    print(f"500 cases: {took:.2f} s, start and end of the program too")
    assert ran.stdout.startswith("500 passed") and took < 30


GUIDE = ROOT / "docs" / "guide" / "test.md"
FILES = re.findall(r"`([a-z-]+\.test\.yaml)`:\n\n```yaml fragment\n(.*?)```", GUIDE.read_text(), re.DOTALL)
SHOWN = re.findall(r"```console\n\$ bartizan test (.*)\n((?:.*\n)*?)```", GUIDE.read_text())


def test_what_the_guide_shows_is_what_is_printed(tmp_path: Path) -> None:
    assert len(FILES) == 3 and len(SHOWN) == 3
    shutil.copytree(ROOT / "examples" / "quickstart", tmp_path / "policies")
    (tmp_path / "policies" / "orders.test.yaml").unlink()
    shutil.copytree(tmp_path / "policies", tmp_path / "candidate")
    loosened = 'principal.department in ["finance", "sales"] && now.between("08:00", "18:00", "Europe/Berlin")'
    text = (tmp_path / "candidate" / "policies.yaml").read_text()
    (tmp_path / "candidate" / "policies.yaml").write_text(text.replace('principal.department == "finance"', loosened))
    for name, text in FILES:
        (tmp_path / ("candidate" if "invariants" in text else "policies") / name).write_text(text)
    # In office hours the invariant is broken now, and whoever asks is another.
    loose = re.compile(r"in \d+\.\d s|revision \w{16}|^ +at \d{4}-\S+, from \S+\n", re.MULTILINE)
    for command, output in SHOWN:
        ran = bartizan(*shlex.split(command), cwd=tmp_path)
        assert loose.sub("", ran.stdout) == loose.sub("", output)


def test_the_quickstart_keeps_its_word() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "bartizan test -f examples/quickstart" in readme
    assert bartizan("-f", ROOT / "examples" / "quickstart").stdout.startswith("6 passed")
