"""The examples of the RFCs, and what is no proof."""

import pytest

from bartizan.callout.proof import Asked, BadProof, checked, thumbprint_of

RFC_7638 = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W"
    "-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdk"
    "t-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
RFC_9449 = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR"
    "nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtI"
    "joiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNT"
    "NFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
ASKED = Asked("GET", "https://resource.example.org/protectedresource", TOKEN, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", 1562262620.0)


def test_a_thumbprint_is_as_the_rfc_shows_it() -> None:
    assert thumbprint_of(RFC_7638) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    for wrong in ({}, {"kty": "oct", "k": "x"}, {"kty": "EC", "crv": "P-256"}, {**RFC_7638, "n": 7}):
        assert thumbprint_of(wrong) == ""


def test_the_rfcs_proof_is_one() -> None:
    proof = checked(RFC_9449, ASKED)
    assert (proof.made, proof.nonce, len(proof.id)) == (1562262618.0, "", 16)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (Asked("POST", ASKED.url, TOKEN, ASKED.thumbprint, ASKED.now), "another method"),
        (Asked("GET", "https://resource.example.org/other", TOKEN, ASKED.thumbprint, ASKED.now), "another URL"),
        (Asked("GET", "http://resource.example.org/protectedresource", TOKEN, ASKED.thumbprint, ASKED.now), "another URL"),
        (Asked("GET", ASKED.url, TOKEN + "x", ASKED.thumbprint, ASKED.now), "another token"),
        (Asked("GET", ASKED.url, TOKEN, ASKED.thumbprint[:-1] + "J", ASKED.now), "another key"),
        (Asked("GET", ASKED.url, TOKEN, "", ASKED.now), "another key"),
        (Asked("GET", ASKED.url, TOKEN, ASKED.thumbprint, ASKED.now + 60), "of now"),
        (Asked("GET", ASKED.url, TOKEN, ASKED.thumbprint, ASKED.now - 60), "of now"),
    ],
)
def test_for_another_request_it_is_none(asked: Asked, why: str) -> None:
    with pytest.raises(BadProof, match=why):
        checked(RFC_9449, asked)


@pytest.mark.parametrize("url", ["HTTPS://RESOURCE.example.org:443/protectedresource", f"{ASKED.url}?a=b#c"])
def test_a_url_may_be_written_otherwise(url: str) -> None:
    checked(RFC_9449, Asked("GET", url, TOKEN, ASKED.thumbprint, ASKED.now))


@pytest.mark.parametrize("text", ["", ".", "..", "...", "a.b.c", RFC_9449[:-2], RFC_9449 + "A", "é.é.é", "x" * 9000, "W10.W10.W10"])
def test_what_is_no_proof_is_told_and_nothing_breaks(text: str) -> None:
    with pytest.raises(BadProof):
        checked(text, ASKED)
