"""One-time passwords: the link that apps take."""

from bartizan.identity.totp import uri


def test_the_link_for_apps() -> None:
    assert uri("ann/x", "ABC", "Bartizan edge") == (
        "otpauth://totp/Bartizan%20edge:ann%2Fx?secret=ABC&issuer=Bartizan%20edge&algorithm=SHA1&digits=6&period=30"
    )
