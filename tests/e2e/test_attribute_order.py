"""Callers stay who they are, in whatever order attributes are declared and whatever the served revision declares."""

from pathlib import Path

from tests.e2e.gateway import Gateway, upstream
from tests.e2e.test_admin import DENY, FILES, administered

UNSORTED = "attributes: {plan: string, department: string, job: string}"
GOLD = "\n---\nkind: Authorize\nname: gold\ntarget: {api: orders, except: [/orders/health]}\nallow: principal.plan == 'gold'\n"


async def _serves(gw: Gateway, key: str) -> bool:
    return (await gw.get("/orders/1", headers={"x-api-key": key})).status_code == 200


async def test_keys_count_after_a_rollback_whose_revision_has_attributes_in_another_order(tmp_path: Path) -> None:
    """What comes out of the store has them sorted; the tables of keys are written as the files have them."""
    with upstream() as port:
        files = FILES["gateway.yaml"].replace("attributes: {plan: string}", UNSORTED).replace("127.0.0.1:9\n", f"127.0.0.1:{port}\n")
        async with administered(tmp_path, {"gateway.yaml": files + GOLD}) as admin:
            gw, ann = admin.gw, await admin.token(admin.first, "ann", "admin")
            _, key = gw.new_key("acme")
            await gw.eventually(lambda: _serves(gw, key))
            for number in range(4):
                put = await admin.call("PUT", "/v1/resources/IpAccess/health", ann, json={**DENY, "description": str(number)})
                assert put.status_code == 200, put.text
                made = put.json()["revision"]
                await gw.until(lambda now, made=made: now["revision"] == made)  # type: ignore[misc]
                assert await _serves(gw, key), number
                if number:  # not to what the files say: that is read from them
                    assert (await admin.call("POST", "/v1/rollback", ann, json={"reason": "a mistake"})).status_code == 200
                    assert await _serves(gw, key), number


async def test_keys_count_where_the_served_revision_declares_other_attributes_than_the_files(tmp_path: Path) -> None:
    with upstream() as port:
        files = FILES["gateway.yaml"].replace("127.0.0.1:9\n", f"127.0.0.1:{port}\n")
        async with administered(tmp_path, {"gateway.yaml": files + GOLD}) as admin:
            gw, ann = admin.gw, await admin.token(admin.first, "ann", "admin")
            _, key = gw.new_key("acme")
            await gw.eventually(lambda: _serves(gw, key))
            at = "/v1/resources/Gateway/edge"
            document = (await admin.call("GET", at, ann)).json()["document"]
            more = {**document, "attributes": {"area": "string", **document["attributes"]}}
            assert (await admin.call("PUT", at, ann, json=more)).status_code == 200
            for number in range(3):  # each publish forgets what was served before the one before
                put = await admin.call("PUT", "/v1/resources/IpAccess/health", ann, json={**DENY, "description": str(number)})
                assert put.status_code == 200, put.text
                gw.new_key("acme")
                await gw.eventually(lambda: _serves(gw, key), 1)
