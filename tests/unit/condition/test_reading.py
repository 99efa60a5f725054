"""What conditions may say, and what is told to those who say something else: the code, the line, the column."""

import pytest

from bartizan.condition import Condition, ConditionError, Schema, parse
from bartizan.model.places import PLACES

SCHEMA = Schema({"department": "string", "plan": "string", "level": "number", "admin": "bool", "regions": "list"})


def mistakes(text: str, **options: bool) -> list[tuple[str, int, int]]:
    with pytest.raises(ConditionError) as found:
        parse(text, SCHEMA, **options)
    return [(mistake.code.removeprefix("condition-"), mistake.line, mistake.column) for mistake in found.value.mistakes]


@pytest.mark.parametrize(
    ("text", "code", "column"),
    [
        ("", "syntax", 1),
        ("principal.plan ==", "syntax", 18),
        ('principal.plan == "a" "b"', "syntax", 23),
        ('principal.plan == "\ud800"', "syntax", 20),
        ('"漢字" == principal.plan x', "syntax", 24),
        ('has(request.headers["x"])', "syntax", 20),
        ("99999999999999999999 > principal.level", "syntax", 1),
        ('principal.departmant == "x"', "unknown-name", 11),
        ('department == "x"', "unknown-name", 1),
        ('request.verb == "GET"', "unknown-name", 9),
        ('request.headers.a.b == "GET"', "unknown-name", 9),
        ('user.plan == "x"', "unknown-name", 1),
        ('principal.plan.startWith("a")', "unknown-name", 16),
        ("lower(principal.plan)", "unknown-name", 1),
        ('device.type == "phone"', "unknown-name", 16),
        ('principal.method in ["jwt", "key"]', "unknown-name", 29),
        ('request.scheme == "ftp"', "unknown-name", 19),
        ('now.weekday("UTC") in ["mon", "Tue"]', "unknown-name", 31),
        ("principal.plan", "wrong-type", 1),
        ("principal.level", "wrong-type", 1),
        ("principal.plan == 5", "wrong-type", 1),
        ('principal.level == "5"', "wrong-type", 1),
        ('principal.plan in ["a", 1]', "wrong-type", 25),
        ("principal.plan in []", "wrong-type", 19),
        ('principal.plan in "gold"', "wrong-type", 19),
        ("principal.plan == null", "wrong-type", 1),
        ('principal.plan == b"x"', "wrong-type", 1),
        ("principal.level < 1e999", "wrong-type", 1),
        ('principal.plan == "a" && 5', "wrong-type", 26),
        ('principal.admin == "true"', "wrong-type", 20),
        ('principal.level.startsWith("a")', "wrong-type", 1),
        ("principal.plan.startsWith(5)", "wrong-type", 27),
        ('request.method == "get"', "wrong-type", 19),
        ('request.host == "Example.com"', "wrong-type", 17),
        ('request.host == "example.com:80"', "wrong-type", 17),
        ('request.host.endsWith(":80")', "wrong-type", 23),
        ('request.path == "/a?b"', "wrong-type", 17),
        ('device.certificate == "AA:BB"', "wrong-type", 23),
        ('request.headers["a b"] == ""', "wrong-type", 17),
        ("request.headers[5] == principal.id", "wrong-type", 17),
        ('now.hour("Europe/Berln") > 3', "bad-time-zone", 10),
        ('now.between("08:00", "18:00", "+02:00")', "bad-time-zone", 31),
        ('now.between("8:00", "18:00", "UTC")', "bad-time", 13),
        ('now.between("08:00", "08:00", "UTC")', "bad-time", 13),
        ('now.between("24:00", "08:00", "UTC")', "bad-time", 13),
        ('now.after("2030-01-31")', "bad-time", 11),
        ('now.before("2030-02-30T00:00:00Z")', "bad-time", 12),
        ('now.date("UTC") >= "2030-02-30"', "bad-time", 20),
        ('source.ip.within("10.0.0.1/8")', "bad-network", 18),
        ('source.ip.within(["10.0.0.0/8", "10.0.0.0/33"])', "bad-network", 33),
        ('source.ip == "localhost"', "bad-network", 14),
        ("source.ip.within([])", "unsupported", 18),
        ("source.ip == principal.id", "unsupported", 1),
        ('source.ip > "10.0.0.0"', "unsupported", 1),
        ('device.type < "mobile"', "unsupported", 1),
        ("now > 5", "unsupported", 1),
        ('principal.groups == ["a"]', "unsupported", 1),
        ("size(principal.groups) > 1", "unsupported", 1),
        ("principal.groups.size() > 1", "unsupported", 1),
        ('principal.groups.exists(x, x == "a")', "unsupported", 24),
        ('principal.groups[0] == "a"', "unsupported", 17),
        ("principal.id in principal.groups", "unsupported", 1),
        ("principal.plan in [principal.id]", "unsupported", 20),
        ("principal.level + 1 > 2", "unsupported", 17),
        ('"a" == "a"', "unsupported", 1),
        ('"a" in ["a"]', "unsupported", 1),
        ("principal == principal", "unsupported", 1),
        ('request.headers["x-bartizan-principal"] == "a"', "unsupported", 17),
        ('request.headers["Host"] == "a"', "unsupported", 17),
        ("has(request.path)", "unsupported", 1),
        ('(principal.admin ? "a" : "b") == "a"', "unsupported", 18),
        ("principal.plan.matches(principal.id)", "unsupported", 24),
        ('principal.plan.matches("(")', "unsupported", 24),
        ('principal.plan.matches("(?=a)")', "unsupported", 24),
        ('principal.plan.matches("\\\\Qa")', "unsupported", 24),
        ('request.host.matches("a")', "unsupported", 22),
        ("request.host == principal.id", "unsupported", 1),
        ('request.host < "a"', "unsupported", 16),
        ("size(request.host) > 3", "unsupported", 1),
        ('{"a": 1}.a == 1', "unsupported", 1),
        ('principal.plan == "a" && ' * 300 + "true", "too-complex", 1),
        ("(" * 300 + "true" + ")" * 300, "too-complex", 1),
        ("true " * 3000, "too-complex", 1),
        (
            " || ".join(f"principal.level == {n}" for n in range(99)) + " || " + " || ".join(f"now.hour('UTC') == {n}" for n in range(150)),
            "too-complex",
            1,
        ),
        ('request.path.matches("[a-z]{200}")', "too-complex", 1),
    ],
)
def test_mistakes(text: str, code: str, column: int) -> None:
    assert mistakes(text) == [(code, 1, column)]


def test_all_mistakes_are_told_where_they_are() -> None:
    text = 'principal.plam == "gold" &&\n  (principal.level > "5" ||\n   !source.ip.within("10.0.0.0/40"))'
    assert mistakes(text) == [("unknown-name", 1, 11), ("wrong-type", 2, 4), ("bad-network", 3, 22)]
    assert mistakes('!principal.plan == "a"') == [("wrong-type", 1, 2), ("wrong-type", 1, 20)]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('principal.departmant == "x"', "did you mean principal.department?"),
        ('department == "x"', "did you mean principal.department?"),
        ('request.pat == "x"', "did you mean request.path?"),
        ('now.hour("europe/berlin") > 3', "did you mean Europe/Berlin?"),
        ('principal.plan.startWith("a")', "did you mean startsWith?"),
        ('source.ip.within("10.0.0.1/8")', "write 10.0.0.0/8"),
        ('request.method == "get"', 'methods are in upper case: "GET"'),
        ('device.type == "bots"', "did you mean bot? it is one of bot, desktop, mobile, tablet, unknown"),
        ('has(request.headers["x"])', '"name" in request.headers'),
        ("size(principal.groups) > 1", '"ops" in principal.groups'),
        ('principal.zzz == "x"', "declared are admin, bound, department"),
    ],
)
def test_hints_say_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(ConditionError) as found:
        parse(text, SCHEMA)
    assert hint in found.value.mistakes[0].hint
    assert hint in str(found.value)


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "principal.admin == !has(principal.plan)",
        'principal.plan == "gold" ? principal.level > 3 : principal.level > 0x10',
        'principal.plan.matches("[a-z]{200}")',
        "size(principal.id) == principal.id.size()",
        '"gold".startsWith(principal.plan)',
        "5u < principal.level",
        'request.headers.accept == "text/plain"',
        '"Accept" in request.headers && has(request.headers.accept)',
        'source.ip == "::ffff:10.0.0.1"',
        'source.ip in ["10.0.0.1", "2001:db8::/32"]',
        'now.between("18:00", "24:00", "Asia/Kolkata") // a comment',
        'now.after("2030-01-31T00:00:00+01:00") && now.before("2031-01-31T00:00:00.5Z")',
        "principal.level in [1, 2.5]",
        "request.size < principal.level",
    ],
)
def test_what_may_be_said(text: str) -> None:
    assert parse(text, SCHEMA).text == text


def test_what_has_to_stand_in_cel_is_held_to_its_limits() -> None:
    """Envoy's CEL takes only small patterns, and has no networks; its matchers take more."""
    for text in ('principal.plan.matches("[a-z]{200}")', 'source.ip.within("::1:0/112")', f'"{"long " * 30}" in principal.groups'):
        parse(text, SCHEMA)
        (found,) = mistakes(text, whole_in_cel=True)
        assert found[0] in ("too-complex", "unsupported")


def read(text: str) -> Condition:
    return parse(text, SCHEMA)


def test_what_it_reads() -> None:
    text = 'principal.id == "a" && size(principal.plan) < principal.level && !("x" in principal.groups) && has(principal.admin)'
    assert read(text).attributes == {"id", "plan", "level", "groups", "admin"}
    assert read("true || principal.admin").attributes == frozenset()
    assert read('request.path == "/"').attributes == frozenset()


def test_equal_texts_are_equal_conditions() -> None:
    assert read("principal.admin") == read("principal.admin")
    assert len({read("principal.admin"), read("principal.admin"), read("!principal.admin")}) == 2


PLACED = Schema({"plan": "string", "level": "number"}, frozenset(PLACES))


@pytest.mark.parametrize(
    "text",
    [
        'source.country == "DE"',
        'source.country in ["DE", "NO"] && source.region != "BY"',
        "source.asn == 64512 && source.asn in [1, 2] && source.asn > principal.level",
        "source.anonymous && !source.tor",
        "source.vpn == false || source.hosting != source.proxy",
        "has(source.country) ? source.city.startsWith('B') : has(source.anonymous)",
        "source.operator == principal.plan && size(source.operator) > 3",
    ],
)
def test_what_may_be_said_of_places(text: str) -> None:
    for whole_in_cel in (False, True):
        found = parse(text, PLACED, whole_in_cel=whole_in_cel)
        assert found.attributes & set(PLACES)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('source.country == "UK"', 'write "GB"'),
        ('source.country in ["DE", "no"]', 'write "NO"'),
        ('source.country != "unknown"', "!has(source.country)"),
        ('source.county == "DE"', "did you mean source.country?"),
        ("source.country", "compare it"),
        ("source.asn == '64512'", "such as 5"),
        ("source.anonymous == 'true'", "something true or false"),
        ("now.since(source.asn) < 5", "auth_time"),
    ],
)
def test_what_may_not_be_said_of_places(text: str, hint: str) -> None:
    with pytest.raises(ConditionError) as found:
        parse(text, PLACED)
    assert hint in str(found.value)


@pytest.mark.parametrize("name", PLACES)
def test_what_no_database_tells_cant_be_asked(name: str) -> None:
    told = frozenset(PLACES) - {name}
    with pytest.raises(ConditionError) as found:
        parse(f"has({name})", Schema({}, told))
    (mistake,) = found.value.mistakes
    assert mistake.message == f"no database of the Gateway tells {name}" and "places: {" in mistake.hint
