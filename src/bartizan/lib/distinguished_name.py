"""Names of certificates as text, exactly as OpenSSL and BoringSSL print them by RFC 2253, and so as Envoy does."""

from cryptography import x509

_SHORT = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "street",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.42": "GN",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
}


def rfc2253(name: x509.Name) -> str:
    """The name as text. ValueError for an attribute whose printed form isn't known for certain."""
    return ",".join("+".join(_attribute(one) for one in reversed(list(part))) for part in reversed(name.rdns))


def _attribute(one: x509.NameAttribute[str | bytes]) -> str:
    short = _SHORT.get(one.oid.dotted_string)
    if short is None or not isinstance(one.value, str):
        raise ValueError(f"the name holds an attribute ({one.oid.dotted_string}) that isn't common in names of CAs")
    data = one.value.encode()
    return f"{short}=" + "".join(_escaped(byte, at, len(data)) for at, byte in enumerate(data))


def _escaped(byte: int, at: int, length: int) -> str:
    if byte < 0x20 or byte >= 0x7F:
        return f"\\{byte:02X}"
    character = chr(byte)
    edge = (character == " " and at in {0, length - 1}) or (character == "#" and at == 0)
    return f"\\{character}" if edge or character in ',+"\\<>;' else character
