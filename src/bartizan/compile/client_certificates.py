"""Whom client certificates mean: the consumers that list them, and what is wrong with such lists."""

import re
from collections.abc import Collection, Iterator

from bartizan.envoy.names import certificate_key, fingerprint_key
from bartizan.model.consumer import Consumer, Credential
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.policies.authenticate import bindings


def listed(snapshot: Snapshot) -> dict[str, str]:
    """The certificates that consumers list, by their names in the table of keys. Those of disabled consumers too: they mean nobody else."""
    return {key: consumer.name for consumer, _, _, key in _listed(snapshot)}


def enrolled(snapshot: Snapshot) -> dict[str, tuple[str, str]]:
    """The certificates of devices, by their SHA-256, with the device's name and state."""
    return {print: (device.name, device.state) for device in snapshot.devices.values() for print in device.certificates}


def keyed(snapshot: Snapshot) -> dict[str, tuple[str, str]]:
    """The keys of devices, by their thumbprints, with the device's name and state."""
    return {key: (device.name, device.state) for device in snapshot.devices.values() for key in device.keys}


def with_passkeys(snapshot: Snapshot) -> dict[str, tuple[str, str]]:
    """The passkeys of devices, with the device's name and state."""
    return {passkey: (device.name, device.state) for device in snapshot.devices.values() for passkey in device.passkeys}


def device_problems(snapshot: Snapshot) -> Iterator[Problem]:
    """What is wrong with the certificates and keys of devices."""
    owners: dict[str, str] = {}
    provable = "dpop" in bindings(snapshot.policies)
    for device in snapshot.devices.values():
        known = [("certificates", i, one) for i, one in enumerate(device.certificates)]
        known += [("keys", i, one) for i, one in enumerate(device.keys)]
        for field, i, one in known + [("passkeys", i, one) for i, one in enumerate(device.passkeys)]:
            if (owner := owners.setdefault(one, device.name)) != device.name:
                at, what = snapshot.resource(device).place((field, i)), field.removesuffix("s")
                yield Problem(at, f"{what}-taken", f"this {what} is the device {owner!r}'s already", "It can mean one of them.")
        if device.keys and not provable:
            hint = "Say so where it is: any: [{jwt: ISSUER, bound: dpop}]."
            yield Problem(snapshot.resource(device).place(("keys",)), "key-unprovable", "no Authenticate asks for proofs (DPoP)", hint)
        if device.passkeys and not tells_passkeys(snapshot):
            hint = "Declare `authorization_server` in the Gateway, and an Issuer with the same `issuer`."
            at = snapshot.resource(device).place(("passkeys",))
            yield Problem(at, "passkey-unprovable", "passkeys are told by tokens of the gateway's own authorization server", hint)


def tells_passkeys(snapshot: Snapshot) -> bool:
    """Whether tokens of the gateway's own authorization server count."""
    own = snapshot.gateway.authorization_server
    return own is not None and any(issuer.issuer == own.issuer and issuer.has_keys for issuer in snapshot.issuers.values())


def certificate_problems(snapshot: Snapshot, cas: Collection[str]) -> Iterator[Problem]:
    """What is wrong with the client certificates that consumers list."""
    owners: dict[str, str] = {}
    for consumer, i, credential, key in _listed(snapshot):
        at = snapshot.resource(consumer).place(("credentials", i))
        certificate = credential.certificate
        if certificate is not None and certificate.ca not in cas:
            yield Problem(at, "ca-unknown", f"there is no CA {certificate.ca!r}", f"Tls policies name: {', '.join(sorted(cas)) or 'none'}.")
        if certificate is not None and not re.fullmatch(r"[\x21-\x7e]+", certificate.san):
            yield Problem(at, "certificate-name", "a name in a certificate holds printable ASCII and no space", "")
        if (owner := owners.setdefault(key, consumer.name)) != consumer.name:
            yield Problem(at, "certificate-taken", f"this certificate is the consumer {owner!r}'s already", "It can mean one of them.")


def _listed(snapshot: Snapshot) -> Iterator[tuple[Consumer, int, Credential, str]]:
    for consumer in snapshot.consumers.values():
        for i, credential in enumerate(consumer.credentials):
            if credential.certificate is not None:
                yield consumer, i, credential, certificate_key(credential.certificate.ca, credential.certificate.san)
            if credential.fingerprint is not None:
                yield consumer, i, credential, fingerprint_key(credential.fingerprint)
