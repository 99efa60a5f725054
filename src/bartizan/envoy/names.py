"""The names that our resources, filters, headers and metadata have in Envoy. What a caller sends under them is removed."""

import hashlib
import re

from bartizan.model.named import Use

ECDS = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
SCOPE = "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration"
SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type's name
NOTE = "type.googleapis.com/bartizan.v1.Note"
"""What a node is told beside what its Envoy gets. No Envoy ever asks for it."""
SETTINGS = "settings"
"""The note of what nodes are to do themselves."""
LOST = "lost"
"""The note of the devices that are lost: a JSON list of their names."""
ASKING = "asking"
"""The note of which issuers are asked about tokens, where and as whom. It holds secrets."""

OPEN = "records/open.jsonl"
"""Streams that are open, each again and again: who is behind it, and on which connection. Read as it comes, and never kept."""
OPEN_EVERY_S = 2
"""How often each is told. A request that is over before costs nothing."""

# Headers of ours. The prefix is removed from every request as it comes and as it goes.
PREFIX = "x-bartizan-"
H_SCOPE = "x-bartizan-scope"
H_REFUSAL = "x-bartizan-refusal"
H_KEY = "x-bartizan-key"
H_SHARD = "x-bartizan-shard"
H_PRINCIPAL = "x-bartizan-principal"
H_CERTIFICATE = "x-bartizan-cert"
H_JA4 = "x-bartizan-ja4"
H_THUMBPRINT = "x-bartizan-x5t"
"""The SHA-256 of the certificate that came beside a token, in base64url (RFC 8705, section 3.1)."""
H_CONFIRMATION = "x-bartizan-cnf"
"""That of the certificate which a token is bound to."""
H_SCHEME = "x-bartizan-scheme"
"""The scheme of the authorization header, if it is one that demands a proof: `dpop`."""
H_JKT = "x-bartizan-jkt"
"""The thumbprint of the key that a token is bound to (RFC 9449, section 6)."""
H_JTI = "x-bartizan-jti"
"""A token's own id (RFC 7519, section 4.1.7), while some token is blocked."""
H_SID = "x-bartizan-sid"
"""The session at the issuer that a token belongs to (OpenID Connect Front-Channel Logout, section 3), while some session is blocked."""
H_PROOF = "x-bartizan-proof"
"""What was proven of a request by a call-out: `dpop`."""
H_ASKS = "x-bartizan-asks"
"""The issuer that is to be asked about the token, by its name."""
H_BINDING = "x-bartizan-binding"
"""What tokens may be bound to, told to the call-out."""
H_VERDICT = "x-bartizan-verdict"
"""What came of asking, if the token doesn't count: `inactive` or `unasked`; `lost` if the key that proves it is a lost device's."""
H_SUBJECT = "x-bartizan-sub-"
H_CLAIM = "x-bartizan-claim-"
"""How the names of the headers begin that a token's subject and claims stand in."""
H_DEVICE = "x-bartizan-device"
H_TRUSTED = "x-bartizan-device-trusted"
H_LOGIN_STATUS = "x-envoy-oauth-status"
"""What Envoy says to the upstream of a request that isn't sent to log in."""
H_PASSKEY = "x-bartizan-passkey"
"""The passkey with which somebody logged in who has this token, if that lives on one device; while some device has passkeys."""
H_KEYED = "x-bartizan-keyed-device"
H_KEYED_TRUSTED = "x-bartizan-keyed-device-trusted"
"""The device whose key a proof was made with, or whose passkey a login, and whether it is trusted."""
H_NOW = "x-bartizan-now"
H_SOURCE = "x-bartizan-source"
H_SECURE = "x-bartizan-secure"
H_CONTEXT = "x-bartizan-context"
"""What context sources say of a principal that is no consumer, in the form of a consumer's entry in the table of keys."""
H_PLACE = "x-bartizan-place-"
"""What the database of places tells of the caller's address, by `country` and its like."""
H_CALLER = "x-bartizan-caller"
"""The caller's address, for an upstream that judges callers itself."""

# Dynamic metadata namespaces.
PRINCIPAL = "bartizan.principal"
SHADOWS = "bartizan.shadows"
CONTEXT_AGES = "bartizan.context"
"""When each context source said what counts of the principal, by its name: seconds since the epoch, or `stale`."""
LISTS = "bartizan.lists"
RBAC_VERDICTS = "envoy.filters.http.rbac"

# Filter state.
CALLER = "bartizan.caller"
"""Who calls, while a share of callers is told apart."""
JWT = "envoy.filters.http.jwt_authn"
"""Where the token filter leaves a token's header, under `header/<issuer>`."""
CANARY = "bartizan.canary"
"""The revision on its way out that judges this request; not there if the active one does."""
FORWARDED = "bartizan.forwarded"
"""The header `authorization` of a request that nobody here judges, until the route gives it to the upstream."""

# HTTP filters, in the order of the chain.
GATE = "gate"
HYGIENE = "hygiene"
WRONG_TYPE = "wrong-token-type"
UNPROVEN = "unproven-token"
UNBOUND = "unbound-token"
INACTIVE = "inactive-token"
UNASKED = "unasked-token"
CORS = "cors"
BLOCKS = "blocks"
KEYS = "keys"
TOKENS = "tokens"
PROOFS = "proofs"
CALLOUT = "callout"
"""The cluster of the process beside Envoy that checks proofs, and asks issuers about tokens."""
CALLOUT_S = 5
"""How long it may take, in seconds."""
RETOLD = "retold"
"""What is told of consumers before their key tables tell it."""
LOGIN = "login"
SESSION = "session"
"""What takes the session out of a request, behind the login."""
SESSION_COOKIE = "__Host-bz-login-"
"""How the cookies of every session begin."""
KEYED = "keyed"
"""What finds the device of a key."""
PLACES = "places"
PRINCIPAL_FILTER = "principal"
SUBJECTS = "subjects"
CONTEXT = "context"
BRAKES = "brakes"
IP_LISTS = "lists"
POLICIES = "policies"
DEFAULT_DENY = "default-deny"
STRIP = "strip"
LIMIT_SHARDS = 4


TOWARDS = "towards/"


def limits(shard: int) -> str:
    """The rate limit filter of this shard, which is also its stage."""
    return f"limits/{shard}"


def cluster(host: str, digest: str) -> str:
    """The cluster of an upstream, by its first host and what all of it says. Envoy's metrics cut a name at its first dot."""
    return f"upstream/{re.sub('[^A-Za-z0-9-]', '-', host)}/{digest[:12]}"


def certificate(policy: str) -> str:
    """The secret with a listener's certificate and key, by its Tls policy."""
    return f"certificate/{policy}"


def towards(secret: str, use: Use) -> str:
    """The secret with the gateway's own certificate towards upstreams, by the named secret that holds it and what it is used for: another
    revision that uses it otherwise means another one."""
    told = "\0".join((secret, use.team or "", *map(str, use.to)))
    return f"{TOWARDS}{hashlib.sha256(told.encode()).hexdigest()[:16]}"


LOGINS = "login/"


def login(policy: str, told: str, use: Use) -> tuple[str, str]:
    """The secrets of a Login policy: the client's, and what its cookies are encrypted with. By where the first is, and where it is sent."""
    digest = hashlib.sha256("\0".join((policy, told, *map(str, use.to))).encode()).hexdigest()[:16]
    return f"{LOGINS}{digest}/client", f"{LOGINS}{digest}/cookies"


def client_cas(policy: str) -> str:
    """The secret with the CAs of a listener's client certificates, by its Tls policy."""
    return f"client-cas/{policy}"


CERTIFICATE_KEY = "certificate:"
"""How a client certificate is called in the table of keys. No caller's key begins so: the gate sees to it."""


def certificate_key(ca: str, san: str) -> str:
    """A certificate by the CA that issued it and the one name in it."""
    return f"{CERTIFICATE_KEY}{ca}|{san}"


def fingerprint_key(sha256: str) -> str:
    """A certificate by its SHA-256, in hex. No CA has a `=` in its name."""
    return f"{CERTIFICATE_KEY}sha256={sha256}"


def plain_listener(listener: str) -> str:
    """The listener that answers those who come to `listener` without TLS."""
    return f"{listener}/plain"


def scope(host: str, path: str) -> str:
    """The scope, and so the route configuration, of what lives at this host pattern and path prefix."""
    return f"{host}{path}"


def place_header(place: str) -> str:
    """Where the filter of places puts what it finds, by the name that conditions use: `source.country`."""
    return H_PLACE + place.removeprefix("source.")


def place_file(database: str, file: str) -> str:
    """A node's own copy of a database of places, relative to its state: only what was looked at and found good lies there. Another file
    than a revision before named has another copy."""
    return f"places/{database}-{hashlib.sha256(file.encode()).hexdigest()[:12]}.mmdb"


def subject_header(issuer: str) -> str:
    """Where the token filter puts the subject of this issuer's tokens."""
    return H_SUBJECT + _header_part(issuer)


def claim_header(attribute: str) -> str:
    """Where the token filter puts the claim that becomes this attribute, or `groups`."""
    return H_CLAIM + _header_part(attribute)


def _header_part(name: str) -> str:
    """A name in the letters of a header, two names never alike: headers know no case, and Envoy refuses those with underscores, in which
    a scratch instance is told of tokens."""
    return re.sub(r"[^a-z0-9]", lambda found: f"-{ord(found.group()):x}-", name)
