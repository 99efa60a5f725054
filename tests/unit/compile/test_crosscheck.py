"""What is checked again after an edit finds what a check of everything finds, whatever was edited; and so does what is compiled again."""

import random

import pytest

from bartizan.compile import Compiled, Resources, compile, resources, shared, stamp
from bartizan.compile.read import Read, assemble, read
from bartizan.envoy import names
from bartizan.model.snapshot import Snapshot
from tests.certificates import ca

FILES = {"p.pem": ca("Partners"), "q.pem": ca("Others"), "a.txt": b"192.0.2.0/24\n", "b.txt": b"198.51.100.0/24\n"}
GATEWAY = "kind: Gateway\nname: edge\nlisteners: [{name: web, address: '127.0.0.1:1'}, {name: more, address: '127.0.0.1:2'}]\n"
ISSUER = "kind: Issuer\nname: corp\nissuer: https://idp.example.com\naudiences: [a]\njwks: {keys: []}\n"
TLS = "kind: Tls\ncertificate: a.pem\nprivate_key: {env: KEY}\n"
RESOURCE = "kind: ResourcePolicy\nname: arns\ndocument: {Version: '2012-10-17', Statement: [{Effect: Allow, Principal: WHO, "
RESOURCE += "Action: execute-api:Invoke, Resource: 'arn:aws:execute-api:*:*:WHAT/*'}]}\n"
# Of each file the contents it may have; an empty one declares nothing. Many are good alone and wrong beside others.
CHOICES: dict[str, tuple[str, ...]] = {
    "gateway": (
        GATEWAY + "attributes: {plan: string, level: number}\n",
        GATEWAY + "attributes: {level: number, plan: string}\n",
        GATEWAY + "attributes: {plan: string}\n",
        GATEWAY.replace(", {name: more, address: '127.0.0.1:2'}", "") + "attributes: {plan: string, level: number}\n",
    ),
    "orders": (
        "kind: Api\nname: orders\npaths: [/orders]\nupstream: http://127.0.0.1:9\n",
        "kind: Api\nname: orders\npaths: [/orders, /Orders2]\nupstream: http://127.0.0.1:9\n",
        "kind: Api\nname: orders\npaths: [/orders]\nupstream: http://127.0.0.1:9\nidentity_headers: {x-level: level}\n",
        "kind: Api\nname: orders\nhosts: [a.example.com]\npaths: [/orders]\nupstream: http://127.0.0.1:9\n",
        "kind: Api\nname: renamed\npaths: [/orders]\nupstream: http://127.0.0.1:9\n",
    ),
    "pets": (
        "kind: Api\nname: pets\npaths: [/pets]\nupstream: http://127.0.0.1:9\n",
        "",
        "kind: Api\nname: pets\npaths: [/pets, /orders]\nupstream: http://127.0.0.1:9\n",
    ),
    "acme": (
        "kind: Consumer\nname: acme\nattributes: {plan: gold}\n",
        "kind: Consumer\nname: acme\nattributes: {level: 3}\n",
        "kind: Consumer\nname: acme\ncredentials: [{certificate: {ca: partners, san: spiffe://a}}]\n",
        "kind: Consumer\nname: acne\n",
        "kind: Consumer\nname: acme\nattributes: {nothing: 3}\n",
    ),
    "beta": (
        "",
        "kind: Consumer\nname: beta\ncredentials: [{certificate: {ca: partners, san: spiffe://a}}]\n",
        "kind: Consumer\nname: beta\ncredentials: [{certificate: {ca: others, san: spiffe://b}}]\n",
    ),
    "source": (
        "",
        "kind: ContextSource\nname: hr\nattributes: [level]\npush: true\n",
        "kind: ContextSource\nname: hr\nattributes: [plan]\npush: true\nstale: {plan: gold}\n",
    ),
    "issuer": (ISSUER, ISSUER + "attributes: {plan: plan}\n", ISSUER + "attributes: {level: level}\n", ""),
    "callers": (
        "kind: Authenticate\nname: callers\nany: [api_key]\n",
        "kind: Authenticate\nname: callers\nany: [api_key, {jwt: corp}]\n",
        "kind: Authenticate\nname: callers\nany: [api_key, {mtls: partners}]\n",
        "kind: Authenticate\nname: callers\ntarget: {api: pets}\nany: [api_key]\n"
        "---\nkind: Public\nname: open\ntarget: {api: orders}\nreason: it is open to everyone\n",
        "",
    ),
    "gold": (
        "",
        "kind: Authorize\nname: gold\ntarget: {api: orders}\nallow: principal.plan == 'gold'\n",
        "kind: Authorize\nname: gold\ntarget: {api: pets, paths: [/pets/Xy]}\nallow: principal.level > 2\n",
        "kind: Authorize\nname: gold\nfloor: true\nallow: principal.plan == 'gold'\n",
    ),
    "list": (
        "",
        "kind: IpAccess\nname: list\ndeny: {file: a.txt}\n",
        "kind: IpAccess\nname: list\ntarget: {api: pets}\ndeny: {file: b.txt}\n",
        "kind: IpAccess\nname: list\ntarget: {listener: web}\ndeny: {file: b.txt}\n",
    ),
    "limit": ("", "kind: RateLimit\nname: each\nper: principal.id\ntiers: [{windows: ['5/second']}]\n"),
    "size": ("", "kind: Protect\nname: size\nurl: 2KiB\n", "kind: Protect\nname: size\ntarget: {api: pets}\nbody: 2KiB\n"),
    "tls": (
        "",
        TLS + "name: web\nclient_cas: {partners: p.pem}\n",
        TLS + "name: web\ntarget: {listener: more}\nclient_cas: {others: q.pem}\n",
    ),
    "also": (
        "",
        TLS + "name: also\ntarget: {listener: web}\nclient_cas: {others: q.pem}\n",
        TLS + "name: also\ntarget: {listener: more}\nclient_cas: {others: p.pem}\n",
        TLS + "name: xtra\ntarget: {listener: more}\n",
    ),
    "arns": (
        "",
        RESOURCE.replace("WHO", "'*'").replace("WHAT", "orders"),
        RESOURCE.replace("WHO", "{AWS: 'arn:aws:iam::edge:user/acme'}").replace("WHAT", "pets"),
    ),
}


def _reads() -> dict[str, tuple[Read, ...]]:
    return {name: tuple(read(text, f"{name}.yaml") for text in texts) for name, texts in CHOICES.items()}


def _whole(compiled: Compiled) -> Resources:
    return {**resources(compiled, stamp(compiled, {})), **shared(compiled)}


def _but_lists(found: Resources) -> Resources:
    return {key: body for key, body in found.items() if key[1] != names.IP_LISTS}  # those of before stay for a while


@pytest.mark.parametrize("seed", range(12))
def test_what_is_left_out_after_an_edit_has_nothing_to_tell(seed: int) -> None:
    chance, reads = random.Random(seed), _reads()
    chosen = safe = {name: some[0] for name, some in reads.items()}
    files = {name: FILES[name] for name in FILES}
    before: Snapshot | None = None
    compiled: Compiled | None = None
    held: Resources | None = None
    good = wrong = 0
    for _ in range(60):
        chosen = dict(chosen)
        for name in chance.sample(sorted(reads), chance.choice((1, 1, 1, 2))):
            chosen[name] = chance.choice(reads[name] if chance.random() < 0.5 else reads[name][:1])
        if chance.random() < 0.1:
            files["a.txt"] = chance.choice((b"192.0.2.0/24\n", b"192.0.2.1/32\n", b"nonsense\n"))
        found, all_checked = assemble(chosen.values(), dict(files), before), assemble(chosen.values(), dict(files))
        assert isinstance(found, Snapshot) == isinstance(all_checked, Snapshot), (found, all_checked)
        if not isinstance(found, Snapshot):
            assert found == all_checked
            wrong += 1
            chosen = dict(safe) if chance.random() < 0.7 else chosen
            continue
        assert isinstance(all_checked, Snapshot) and found.revision == all_checked.revision
        before, again, anew = found, compile(found, before=compiled), compile(all_checked)
        assert again.problems == anew.problems
        if not again.problems:
            good += 1
            held = shared(again, compiled, held)
            assert _but_lists(held) == _but_lists(shared(anew))
            assert resources(again, stamp(again, {})) == resources(anew, stamp(anew, {}))
            compiled, safe = again, dict(chosen)
        elif chance.random() < 0.7:
            chosen = dict(safe)
    assert good and wrong
