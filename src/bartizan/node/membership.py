"""What a node of another machine got when it joined: where its control plane is, its certificate and key, whom it believes."""

import asyncio
import hashlib
import logging
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pydantic import BaseModel, ConfigDict, ValidationError

from bartizan.errors import BartizanError, Unauthenticated, Unavailable
from bartizan.lib.files import replaced
from bartizan.lib.tls import load_pair
from bartizan.node.trust import write_trust
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.keyring import load_or_create
from bartizan.xds.asking import Ask, Told, read_token
from bartizan.xds.link import ASK_PROTOCOL, NODE_PROTOCOL, Connect, Lost, by_tls

_log = logging.getLogger(__name__)
_CONTEXT = "node certificate key"
_LEFT = 1 / 3
"""A certificate is renewed when this much of its life is left."""
_AGAIN_S = 5.0


class Membership(BaseModel):
    """What is kept of it, but for the private key in `key`, which is sealed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    port: int
    name: str
    group: str
    ca: str
    certificate: str
    key: str
    token: str
    """A hash of the token that it joined by: the same one is passed over when the node is started again."""
    renew_at: float


def membership_file(state: Path) -> Path:
    """Where a node with this state keeps it."""
    return state / "membership.json"


def read_membership(state: Path) -> Membership | None:
    """None if this state's node never joined. Unavailable if it can't be read."""
    path = membership_file(state)
    try:
        return Membership.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise Unavailable(f"The file {path} can't be read. Join anew with a token.", code="membership-unreadable") from error


async def join(state: Path, control: tuple[str, int], token: str, name: str) -> Membership:
    """Makes this state's node one of the fleet. BartizanError if it isn't let in. With the token it joined by before, it does nothing."""
    secret, fingerprint = read_token(token)
    known, digest = read_membership(state), hashlib.sha256(token.strip().encode()).hexdigest()
    if known is not None and known.token == digest:
        return known
    ca = (await _asked(by_tls(*control, _unverified), Ask(what="ca"))).ca
    if _fingerprint(ca) != fingerprint:
        raise Unauthenticated(
            "What answers there isn't the control plane that made this token: its authority has another fingerprint. "
            "Nothing was told to it. Check the address.",
            code="authority-unknown",
        )
    key, request = _request()
    ask = Ask(what="join", token=secret.hex(), name=name, request=request)
    told = await _asked(by_tls(*control, lambda: _verified(ca, ASK_PROTOCOL)), ask)
    write_trust(state, [bytes.fromhex(one) for one in told.keys], told.group)
    return _kept(state, control, told, key, digest)


async def renew(state: Path, known: Membership) -> Membership:
    """Gets the node another certificate, by the one that it has."""
    key, request = _request()
    connect = by_tls(known.host, known.port, lambda: context_of(state, known, ASK_PROTOCOL))
    told = await _asked(connect, Ask(what="renew", request=request))
    return _kept(state, (known.host, known.port), told, key, known.token)


async def kept_fresh(state: Path, tell: Callable[[str | None], None]) -> None:
    """Renews the certificate whenever it is time, for ever. `tell`: what is wrong, or None."""
    while True:
        known = _needed(state)
        await asyncio.sleep(max(0.0, min(known.renew_at - time.time(), 60.0)))
        if time.time() < known.renew_at:
            continue
        try:
            await renew(state, known)
            _log.info("the certificate was renewed")
            tell(None)
        except (BartizanError, Lost, ValueError) as error:
            tell(f"This node's certificate couldn't be renewed: {error}")
            await asyncio.sleep(_AGAIN_S)


def connecting(state: Path, protocol: str = NODE_PROTOCOL) -> tuple[str, Connect]:
    """The node's name, and how it reaches its control plane. Unavailable if it never joined."""
    known = _needed(state)
    return known.name, by_tls(known.host, known.port, lambda: context_of(state, _needed(state), protocol))


def context_of(state: Path, known: Membership, protocol: str) -> ssl.SSLContext:
    """TLS by which this node shows who it is, and lets in nobody but its control plane."""
    context = _verified(known.ca, protocol)
    load_pair(context, known.certificate.encode(), _envelope(state).open(bytes.fromhex(known.key), _CONTEXT))
    return context


def _needed(state: Path) -> Membership:
    known = read_membership(state)
    if known is None:
        raise Unavailable(f"The node in {state} never joined a fleet. Give it a token with --join.", code="membership-missing")
    return known


def _envelope(state: Path) -> Envelope:
    return load_or_create(state / "node.key")


def _kept(state: Path, control: tuple[str, int], told: Told, key: bytes, token: str) -> Membership:
    """Key and certificate stand in one file, so that no crash can part them."""
    known = Membership(
        host=control[0],
        port=control[1],
        name=told.name,
        group=told.group,
        ca=told.ca,
        certificate=told.certificate,
        key="",
        token=token,
        renew_at=time.time() + told.lifetime_s * (1 - _LEFT),
    )
    return _written(state, known, key)


def reseal(state: Path) -> None:
    """Seals the node's key anew, with the key that is the current one now. A certificate that is renewed meanwhile is sealed so anyway."""
    with _envelope(state).kept():
        known = read_membership(state)
    if known is not None:
        _written(state, known, _envelope(state).open(bytes.fromhex(known.key), _CONTEXT), instead_of=known)


def _written(state: Path, known: Membership, key: bytes, instead_of: Membership | None = None) -> Membership:
    """Keeps it with this private key. `instead_of`: unless another one is kept by now."""
    envelope = _envelope(state)
    try:
        with envelope.kept():
            if instead_of is not None and read_membership(state) != instead_of:
                return known
            known = known.model_copy(update={"key": envelope.seal(key, _CONTEXT).hex()})
            replaced(membership_file(state), known.model_dump_json().encode())
    except OSError as error:
        raise Unavailable(f"The file {membership_file(state)} can't be written: {error.strerror or error}.") from error
    return known


def _request() -> tuple[bytes, str]:
    """A new key, and a certificate request for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])  # the control plane says the name
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, request.public_bytes(Encoding.PEM).decode()


async def _asked(connect: Connect, ask: Ask) -> Told:
    """The answer. Unavailable if there is none, Unauthenticated if it is a refusal."""
    try:
        async with asyncio.timeout(20), connect() as call:
            await call.write(orjson.dumps(ask.model_dump()))
            data = await anext(aiter(call), None)
    except (Lost, TimeoutError) as error:
        raise Unavailable(f"The control plane can't be asked: {error or 'it takes too long'}.", code="control-unreachable") from error
    try:
        told = Told.model_validate_json(data or b"")
    except ValidationError as error:
        raise Unavailable("What answers there isn't a control plane of this version.", code="control-unreachable") from error
    if told.error:
        raise Unauthenticated(told.error, code=told.code)
    return told


def _fingerprint(pem: str) -> bytes:
    try:
        return x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA256())
    except ValueError:
        return b""


def _verified(ca: str, protocol: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=ca)
    context.set_alpn_protocols([protocol])
    return context


def _unverified() -> ssl.SSLContext:
    """Only to fetch the authority's certificate, which the token tells true from false; nothing is told over it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([ASK_PROTOCOL])
    return context
