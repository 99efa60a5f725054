"""Devices are live data: no part of a revision, and each certificate is one device's."""

from typing import Any

import pytest
from pydantic import ValidationError

from bartizan.compile.client_certificates import enrolled
from bartizan.compile.read import assemble, read
from bartizan.model.device import Device
from bartizan.model.snapshot import Snapshot

A, B = "a" * 64, "b" * 64
FRAME = "{kind: Gateway, name: edge, listeners: [{name: web, address: '127.0.0.1:1'}]}\n---\n"


def snapshot(text: str) -> Any:
    return assemble([read(FRAME + text, "f.yaml")], {})


def test_it_is_no_part_of_a_revision() -> None:
    one = snapshot(f"{{kind: Device, name: laptop, certificates: [{A}, {B}], state: lost}}")
    other = snapshot(f"{{kind: Device, name: phone, certificates: [{A}]}}")
    assert isinstance(one, Snapshot) and one.revision == other.revision
    assert enrolled(one) == {A: ("laptop", "lost"), B: ("laptop", "lost")}
    assert enrolled(other) == {A: ("phone", "pending")}


def test_a_certificate_is_one_devices() -> None:
    found = snapshot(f"{{kind: Device, name: a, certificates: [{A}]}}\n---\n{{kind: Device, name: b, certificates: [{B}, {A}]}}")
    assert [(one.code, one.at.path) for one in found] == [("certificate-taken", "Device/b: certificates[1]")]


@pytest.mark.parametrize("certificates", [[], ["a"], ["A" * 64], ["g" * 64], [f"{A}\n"], ["aa:bb"], [A] * 11])
def test_a_certificate_is_named_by_its_sha256(certificates: list[str]) -> None:
    with pytest.raises(ValidationError):
        Device(name="laptop", certificates=certificates)  # type: ignore[arg-type]  # lists are taken too
