"""Serves a listener over TLS, with AES only, and asks callers for certificates.

```yaml
kind: Tls
name: web
target: {listener: web}
certificate: certs/web.pem
private_key: {file: certs/web.key}
min_version: "1.2"
http: {address: "127.0.0.1:8081", answer: redirect}
hsts: {max_age: 365d, include_subdomains: true}
client_cas: {partners: certs/partners-ca.pem}
```

`aes_only`, which is the default, is a promise that a TLS scanner confirms: AES-GCM and nothing else, in TLS 1.2 and in 1.3, with
curves P-256 and P-384. TLS 1.1 and older is never spoken. `http` opens a second address that redirects to https (308) or
refuses (403); without it, there is only https.

Certificate and key are read again when their files change, and are used for connections from then on; those that are open
live on. A pair that doesn't fit together or can't be read changes nothing: the one before stays, and `bartizan status` says so.

`client_cas` names the CAs whose client certificates are verified. A caller may come without one; who must have one is said by
`Authenticate` (`any: [{mtls: partners}]`). A certificate counts only if the CA issued it directly, and it means the CA and the
one URI or DNS name in it together: `principal.id` is `partners|spiffe://corp/acme`, or the name of the Consumer that lists it.

`crls` names the lists of revoked certificates (RFC 5280, PEM) of those CAs: `crls: {partners: {file: certs/partners.crl}}`. A revoked
certificate ends the handshake. A list that changed counts within a second, without a new revision; one that can't be read, isn't
signed by its CA or is older than the one before changes nothing. An expired list refuses every certificate of its CA, and a missing
one every certificate; `bartizan status` warns a day before. Connections that are open live on: disable or block the consumer to end
those.

It can't be put in shadow or disabled: delete it, and the listener speaks plain HTTP. It runs in Envoy: a handshake costs
0.2 to 1 millisecond, a request on an open connection 2 microseconds.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from cryptography import x509
from pydantic import Field

from bartizan.condition import Schema
from bartizan.envoy import extension, message, names, packed
from bartizan.envoy.filters import fixed
from bartizan.lib.distinguished_name import rfc2253
from bartizan.model.fields import Declared, Duration, Name, SecretRef
from bartizan.model.gateway import Listener
from bartizan.model.snapshot import Snapshot
from bartizan.policies._kind import Fault, Phase, PolicyKind

_TLS = "envoy.extensions.transport_sockets.tls.v3"
_VERSIONS = {"1.2": "TLSv1_2", "1.3": "TLSv1_3"}
_CIPHERS = ["ECDHE-{}-AES128-GCM-SHA256", "ECDHE-{}-AES256-GCM-SHA384", "ECDHE-{}-CHACHA20-POLY1305"]
_BY_ADS = {"ads": {}, "resource_api_version": "V3"}
_NOBODYS = "0" * 64
"""The SHA-256 of a certificate that nobody has."""
_DIRECTLY = 1  # certificates above the caller's own, the trusted one counted


class PlainHttp(Declared):
    """What callers without TLS get."""

    address: str = Field(pattern=r"^(\[[0-9a-f:.]+\]|[0-9.]+):[0-9]{1,5}$", description="IP address and port, such as 0.0.0.0:80.")
    answer: Literal["redirect", "refuse"] = Field(default="redirect", description="redirect: 308 to https; refuse: 403.")
    port: int | None = Field(default=None, ge=1, le=65535, description="The port of https as callers see it; by default the listener's.")

    @property
    def listener(self) -> Listener:
        """Where it listens."""
        return Listener(name="plain", address=self.address)


class Hsts(Declared):
    """Strict-Transport-Security (RFC 6797)."""

    max_age: Duration = Field(default="365d", validate_default=True, description="How long browsers come back by https only.")
    include_subdomains: bool = Field(default=False, description="Whether that holds for all names below, too.")


class Tls(PolicyKind):
    """Serve a listener over TLS."""

    kind: Literal["Tls"] = "Tls"
    phase: ClassVar[Phase] = Phase.BEFORE_AUTHENTICATION
    may_shadow: ClassVar[bool] = False
    of_listener: ClassVar[bool] = True

    certificate: str = Field(min_length=1, description="A file with the certificate, and with those between it and the root (PEM).")
    private_key: SecretRef = Field(description="The certificate's private key (PEM).")
    min_version: Literal["1.2", "1.3"] = Field(default="1.2", description="The oldest version of TLS that is spoken.")
    aes_only: bool = Field(default=True, description="Only AES-GCM, in TLS 1.2 and 1.3. Without it ChaCha20-Poly1305, too.")
    http: PlainHttp | None = Field(default=None, description="A second address, for those who come without TLS.")
    hsts: Hsts | None = Field(default=None, description="Whether browsers are told to come by https only.")
    client_cas: dict[Name, str] = Field(
        default_factory=dict, description="CAs of client certificates: what policies call each, then a file with its certificates (PEM)."
    )

    crls: dict[Name, SecretRef] = Field(
        default_factory=dict, description="Lists of revoked certificates (PEM), by CA: of all client CAs, or of none."
    )

    def file_names(self) -> Iterator[str]:
        yield from self.client_cas.values()

    def faults(self, schema: Schema, files: Mapping[str, bytes]) -> Iterator[Fault]:
        if self.mode == "disabled":
            yield Fault(("mode",), "mode-unsupported", "a Tls can't be disabled", "Delete it, if the listener is to speak plain HTTP.")
        target = self.target
        if target.api or target.paths or target.methods or target.exclude:
            yield Fault(("target",), "tls-target", "a Tls covers listeners, not APIs or paths", "Write target: {listener: NAME}.")
        yield from self._list_faults()
        owners: dict[str, str] = {}
        for name, file in self.client_cas.items():
            if file not in files:
                continue
            try:
                subjects = _subjects(files[file])
            except ValueError as error:
                yield Fault(("client_cas", name), "client-ca-unusable", f"{file}: {error}", "PEM certificates of CAs are needed.")
                continue
            for subject in subjects:
                if owners.setdefault(subject, name) != name:
                    yield _same_subject(name, subject, owners[subject])

    def _list_faults(self) -> Iterator[Fault]:
        if self.crls and self.crls.keys() != self.client_cas.keys():
            hint = "Where some have a list, Envoy refuses the certificates of all others."
            yield Fault(("crls",), "crl-of-some", "each of `client_cas` has a list of revoked certificates here, or none has", hint)

    def misfits(self, snapshot: Snapshot) -> Iterator[Fault]:
        """Two on one listener, or two CAs of one name."""
        earlier = [one for one in snapshot.policies if isinstance(one, Tls) and one.name < self.name]
        owners = {subject: name for one in earlier for subject, name in one.usable_subjects(snapshot.files).items()}
        for other in earlier:
            if self.target.listener is None or other.target.listener in {None, self.target.listener}:
                yield Fault(("target",), "tls-twice", f"{other.id} covers the same listener", "A listener has one Tls.")
        for subject, name in self.usable_subjects(snapshot.files).items():
            if owners.get(subject, name) != name:
                yield _same_subject(name, subject, owners[subject])

    def usable_subjects(self, files: Mapping[str, bytes]) -> dict[str, str]:
        """As `ca_subjects`, before it is known that all are usable."""
        try:
            return self.ca_subjects(files)
        except (ValueError, KeyError):
            return {}

    def ca_subjects(self, files: Mapping[str, bytes]) -> dict[str, str]:
        """The subjects of the client CAs as Envoy prints them, and what policies call each."""
        return {subject: name for name, file in self.client_cas.items() for subject in _subjects(files[file])}

    def secrets(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """What is served by SDS and is no secret: the client CAs."""
        if not self.client_cas:
            return {}
        return self.trusted(files, None if self.crls else b"")

    def trusted(self, files: Mapping[str, bytes], lists: bytes | None) -> dict[str, bytes]:
        """The client CAs with their lists of revoked certificates; None if there are no good ones: then no certificate counts."""
        bundle = b"\n".join(files[file].strip() for file in dict.fromkeys(self.client_cas.values())) + b"\n"
        context: dict[str, Any] = {"trusted_ca": {"inline_bytes": bundle}}
        if lists is None:
            context["verify_certificate_hash"] = [_NOBODYS]
        elif lists:
            context |= {"crl": {"inline_bytes": lists}, "only_verify_leaf_cert_crl": True}
        made = message(f"{_TLS}.Secret", name=names.client_cas(self.name), validation_context=context)
        return {names.client_cas(self.name): bytes(made.SerializeToString(deterministic=True))}

    def frame(self, listener: Listener, chain: dict[str, Any], fields: dict[str, Any]) -> None:
        """Puts TLS before the listener's filters, and the caller's fingerprint before TLS."""
        chain["transport_socket"] = {"name": "tls", "typed_config": self._context()}
        inspector = message("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector", enable_ja4_fingerprinting={"value": True})
        fields["listener_filters"] = [extension("tls", inspector)]
        fields["listener_filters_timeout"] = {"seconds": 5}
        chain["transport_socket_connect_timeout"] = {"seconds": 10}

    def filters(self, listener: Listener) -> list[Any]:
        """HTTP filters of the listener, before all others."""
        if self.hsts is None:
            return []
        text = f"max-age={int(self.hsts.max_age.total_seconds())}" + ("; includeSubDomains" if self.hsts.include_subdomains else "")
        set_header = {"header": {"key": "strict-transport-security", "value": text}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        mutations = {"response_mutations": [{"append": set_header}]}
        return [fixed("hsts", message("envoy.extensions.filters.http.header_mutation.v3.HeaderMutation", mutations=mutations))]

    def _context(self) -> Any:
        parameters: dict[str, Any] = {
            "tls_minimum_protocol_version": _VERSIONS[self.min_version],
            "tls_maximum_protocol_version": "TLSv1_3",
        }
        if self.aes_only:
            parameters["compliance_policies"] = ["FIPS_202205"]
        else:
            parameters["cipher_suites"] = [cipher.format(kind) for cipher in _CIPHERS for kind in ("ECDSA", "RSA")]
        common: dict[str, Any] = {
            "tls_params": parameters,
            "tls_certificate_sds_secret_configs": [{"name": names.certificate(self.name), "sds_config": _BY_ADS}],
            "alpn_protocols": ["h2", "http/1.1"],
        }
        fields: dict[str, Any] = {}
        if self.client_cas:
            common["combined_validation_context"] = {
                # A CA below a trusted one could bear another trusted one's name.
                "default_validation_context": {"max_verify_depth": {"value": _DIRECTLY}},
                "validation_context_sds_secret_config": {"name": names.client_cas(self.name), "sds_config": _BY_ADS},
            }
            # A resumed session isn't verified again, so it would outlive its certificate.
            fields = {"disable_stateless_session_resumption": True, "disable_stateful_session_resumption": True}
        return packed(f"{_TLS}.DownstreamTlsContext", common_tls_context=common, require_client_certificate={"value": False}, **fields)


def _same_subject(name: str, subject: str, other: str) -> Fault:
    hint = "A certificate names its CA by this name, so nobody could tell whose it is. Call both alike, if they are the same."
    return Fault(("client_cas", name), "client-ca-subject", f"the CAs {other!r} and {name!r} both call themselves {subject}", hint)


def _subjects(pem: bytes) -> list[str]:
    """The subjects of the CA certificates in a file. ValueError if there are none, or one isn't a CA's."""
    found = []
    for certificate in x509.load_pem_x509_certificates(pem):
        subject = rfc2253(certificate.subject)
        try:
            is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except x509.ExtensionNotFound:
            is_ca = False
        if not is_ca or not subject:
            raise ValueError(f"the certificate of {subject or 'nobody'} isn't a CA's")
        found.append(subject)
    return found
