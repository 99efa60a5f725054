"""An issuer for these tests."""

from bartizan.callout.issuer import Issuer

CORP = Issuer(
    name="corp",
    issuer="https://idp.example.com",
    audiences=("orders",),
    skew_s=30.0,
    subject="x-bartizan-sub-corp",
    headers={
        "x-bartizan-claim-department": "department",
        "x-bartizan-claim-scopes": "scope",
        "x-bartizan-claim-trust": "level.of.trust",
        "x-bartizan-claim-staff": "staff",
        "x-bartizan-claim-groups": "roles",
    },
    url="http://127.0.0.1:1/introspect",
    client_id="gw",
    client_secret="s3cret",
    post=False,
    cache_s=30.0,
    timeout_s=0.5,
    per_second=100,
)
