"""The Tls kind: what may be written, and what it becomes."""

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from bartizan.condition import Schema
from bartizan.envoy import message, to_dict
from bartizan.model.gateway import Listener
from bartizan.policies.tls import Tls
from tests.certificates import Authority, authority, ca

LISTENER = Listener(name="web", address="127.0.0.1:0")


def tls(**fields: object) -> Tls:
    return Tls.model_validate({"name": "x", "certificate": "a.pem", "private_key": {"file": "a.key"}, **fields})


def context(made: Tls) -> dict[str, object]:
    chain: dict[str, object] = {}
    fields: dict[str, object] = {}
    made.frame(LISTENER, chain, fields)
    socket = message("envoy.config.core.v3.TransportSocket", **chain["transport_socket"])  # type: ignore[arg-type]
    assert "enable_ja4_fingerprinting" in str(message("envoy.config.listener.v3.Listener", **fields)) or fields["listener_filters"]
    return dict(to_dict(socket)["typed_config"])


def test_aes_only_is_the_default() -> None:
    parameters = context(tls())["common_tls_context"]["tls_params"]  # type: ignore[index]
    assert parameters["compliance_policies"] == ["FIPS_202205"]
    assert parameters["tls_minimum_protocol_version"] == "TLSv1_2"
    more = context(tls(aes_only=False))["common_tls_context"]["tls_params"]  # type: ignore[index]
    assert all("GCM" in cipher or "CHACHA20" in cipher for cipher in more["cipher_suites"])
    assert "compliance_policies" not in more


def test_the_key_is_named_and_never_held() -> None:
    whole = str(context(tls()))
    assert "certificate/x" in whole
    assert "a.key" not in whole
    with pytest.raises(ValidationError, match="can't stand here in the open"):
        tls(private_key="-----BEGIN PRIVATE KEY-----")


def test_client_certificates_are_verified_where_presented() -> None:
    made = context(tls(client_cas={"partners": "p.pem"}))
    validation = made["common_tls_context"]["combined_validation_context"]  # type: ignore[index]
    assert validation["default_validation_context"]["max_verify_depth"] == 1
    assert made["require_client_certificate"] is False
    assert made["disable_stateless_session_resumption"] is True
    assert made["disable_stateful_session_resumption"] is True
    assert "combined_validation_context" not in context(tls())["common_tls_context"]  # type: ignore[operator]


def test_cas_and_their_subjects() -> None:
    files = {"p.pem": ca("Partners"), "o.pem": ca("Others") + ca("Second")}
    made = tls(client_cas={"partners": "p.pem", "others": "o.pem"})
    assert list(made.file_names()) == ["p.pem", "o.pem"]
    assert not list(made.faults(Schema({}), files))
    assert made.ca_subjects(files) == {"CN=Partners,O=Tests": "partners", "CN=Others,O=Tests": "others", "CN=Second,O=Tests": "others"}
    assert list(made.secrets(files)) == ["client-cas/x"]


def test_two_cas_of_one_name_are_a_fault() -> None:
    files = {"p.pem": ca("Partners"), "o.pem": authority("Partners").pem}
    faults = list(tls(client_cas={"partners": "p.pem", "others": "o.pem"}).faults(Schema({}), files))
    assert [fault.code for fault in faults] == ["client-ca-subject"]


def test_what_is_no_ca_is_a_fault() -> None:
    odd = Authority(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a"), x509.NameAttribute(NameOID.POSTAL_ADDRESS, "b")]))
    for content in (b"", b"nonsense", authority("x").server().pem, odd.pem):
        faults = list(tls(client_cas={"partners": "p.pem"}).faults(Schema({}), {"p.pem": content}))
        assert [fault.code for fault in faults] == ["client-ca-unusable"], content


def test_it_is_not_disabled_and_covers_listeners_only() -> None:
    assert [fault.code for fault in tls(mode="disabled").faults(Schema({}), {})] == ["mode-unsupported"]
    assert not Tls.may_shadow
    for target in ({"api": "a"}, {"paths": ["/a"]}, {"methods": ["GET"]}, {"except": ["/a"]}):
        assert [fault.code for fault in tls(target=target).faults(Schema({}), {})] == ["tls-target"]
    assert not list(tls(target={"listener": "web"}).faults(Schema({}), {}))


@pytest.mark.parametrize("fields", [{"min_version": "1.1"}, {"http": {"address": "localhost:80"}}, {"http": {"address": "1.2.3.4"}}])
def test_mistakes(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        tls(**fields)


def test_hsts() -> None:
    assert not tls().filters(LISTENER)
    made = tls(hsts={"max_age": "1d", "include_subdomains": True}).filters(LISTENER)
    assert "max-age=86400; includeSubDomains" in str(to_dict(made[0]))
