"""Which of Envoy's matchers a condition becomes, when it is asked for truth and when it is asked for falsehood."""

import pytest

from bartizan.condition import Schema, Sources, parse
from tests.unit.condition.shape import shape

SCHEMA = Schema({"plan": "string", "department": "string", "level": "number", "admin": "bool", "regions": "list"})
THERE = r"plan safe_regex \C*"
PATH = r":path safe_regex \C*"
IN_CEL = 'cel(request.time.getHours("UTC") < 6)'
NOT_IN_CEL = 'cel(!(request.time.getHours("UTC") < 6))'


# A pattern that Envoy's CEL doesn't take; smaller ones are asked there.
LARGE = "^a" + "b" * 120
ASCII = r"plan safe_regex [\x00-\x7f]*"
HAS_LARGE = rf"plan safe_regex \C*?(?:{LARGE})\C*"


@pytest.mark.parametrize(
    ("text", "true", "false"),
    [
        ('principal.plan == "gold"', "plan exact 'gold'", f"and({THERE}, not(plan exact 'gold'))"),
        ('principal.plan != "gold"', f"and({THERE}, not(plan exact 'gold'))", "plan exact 'gold'"),
        ('principal.plan in ["a", "b", "a"]', "plan exact 'a'|exact 'b'", f"and({THERE}, not(plan exact 'a'|exact 'b'))"),
        ('principal.plan.startsWith("a")', "plan prefix 'a'", f"and({THERE}, not(plan prefix 'a'))"),
        ('principal.plan.endsWith("a")', "plan suffix 'a'", f"and({THERE}, not(plan suffix 'a'))"),
        ('principal.plan.contains("")', THERE, f"and({THERE}, not({THERE}))"),
        (f'principal.plan.matches("{LARGE}")', f"and({ASCII}, {HAS_LARGE})", f"and({ASCII}, not({HAS_LARGE}))"),
        ("has(principal.plan)", THERE, f"not({THERE})"),
        ("principal.admin", "admin exact 'true'", "admin exact 'false'"),
        ("principal.admin != true", "admin exact 'false'", "admin exact 'true'"),
        ("principal.level >= 5", "level [5.0, inf)", "level [min, 5.0)"),
        ("5 > principal.level", "level [min, 5.0)", "level [5.0, inf)"),
        ("principal.level <= 5", "level [min, 5.000000000000001)", "level [5.000000000000001, inf)"),
        ("principal.level > 0", "level [5e-324, inf)", "level [min, 5e-324)"),
        ("principal.level == 0", "level = 0", "and(level [min, inf), not(level = 0))"),
        ("has(principal.level)", "level [min, inf)", "not(level [min, inf))"),
        ('request.headers["X-T"] == "a"', "x-t exact 'a'", r"and(x-t safe_regex \C*, not(x-t exact 'a'))"),
        ('"X-T" in request.headers', r"x-t safe_regex \C*", r"not(x-t safe_regex \C*)"),
        ('request.method in ["GET", "PUT"]', "or(:method exact 'GET', :method exact 'PUT')", None),
        ('request.path == "/a"', "or(:path exact '/a', :path prefix '/a?')", None),
        ('request.path.startsWith("/a")', ":path prefix '/a'", f"and({PATH}, not(:path prefix '/a'))"),
        ('request.path.endsWith(".x")', r":path safe_regex [^?]*\.x(?:\?\C*)?", None),
        ('request.host == "a.b"', r":authority safe_regex (?:[Aa]\.[Bb])(?::[0-9]*)?", None),
        ('request.host.endsWith(".b")', r":authority safe_regex (?:[^\[\]:]*\.[Bb])(?::[0-9]*)?", None),
        ('source.ip.within("10.0.0.0/8")', "source within 10.0.0.0/8 ::ffff:a00:0/104", None),
        ('source.ip.within("::ffff:10.0.0.0/104")', "source within 10.0.0.0/8 ::ffff:a00:0/104", None),
        ('source.ip.within("::/0")', "and(source within ::/0, not(source within ::ffff:0:0/96))", None),
        (
            'source.ip == "2001:db8::1"',
            "source within 2001:db8::1/128",
            "and(source within 0.0.0.0/0 ::/0, not(source within 2001:db8::1/128))",
        ),
        ("true", r":method safe_regex \C*", r"not(:method safe_regex \C*)"),
        ("principal.admin || true", r":method safe_regex \C*", None),
        ("principal.admin && has(principal.plan)", f"and(admin exact 'true', {THERE})", f"or(admin exact 'false', not({THERE}))"),
        ("!(principal.admin || has(principal.plan))", f"and(admin exact 'false', not({THERE}))", f"or(admin exact 'true', {THERE})"),
        ("principal.admin == has(principal.plan)", f"or(and(admin exact 'true', {THERE}), and(admin exact 'false', not({THERE})))", None),
        (
            "principal.admin ? has(principal.plan) : true",
            None,
            rf"or(and(admin exact 'true', not({THERE})), and(admin exact 'false', not(:method safe_regex \C*)))",
        ),
        ('now.hour("UTC") < 6', IN_CEL, NOT_IN_CEL),
        ('now.hour("UTC") < 6 && principal.admin', f"and(admin exact 'true', {IN_CEL})", f"or(admin exact 'false', {NOT_IN_CEL})"),
    ],
)
def test_matchers(text: str, true: str | None, false: str | None) -> None:
    condition = parse(text, SCHEMA)
    if true:
        assert shape(condition.predicate()) == true
    if false:
        assert shape(condition.denial()) == false


def test_what_needs_cel_is_asked_last_and_at_once() -> None:
    text = 'now.hour("UTC") < 6 && principal.plan == "a" && request.query == "" && principal.admin'
    cel = 'cel((request.time.getHours("UTC") < 6 && (":path" in request.headers && request.query == "")))'
    assert shape(parse(text, SCHEMA).predicate()) == f"and(plan exact 'a', admin exact 'true', {cel})"


def test_a_list_is_asked_for_its_form_first() -> None:
    true, false = (
        shape(each) for each in (parse('"a" in principal.regions', SCHEMA).predicate(), parse('"a" in principal.regions', SCHEMA).denial())
    )
    assert true.startswith(r"and(and(regions safe_regex (?s) *\[")
    assert true.endswith(r"\"a\"\C*)")
    assert false.endswith(r"not(regions safe_regex (?s) *\[(?:\"(?:[^\"\\]|\\.)*\"|[^\"])*\"a\"\C*))")


def test_scratch_instances_read_headers() -> None:
    scratch = Sources(time="header", address="header")
    found = shape(parse('source.ip == "10.0.0.1" && now.hour("UTC") < 6', SCHEMA).predicate(scratch))
    now = 'timestamp(request.headers["x-bartizan-now"])'
    cel = f'cel(("x-bartizan-now" in request.headers && {now}.getHours("UTC") < 6))'
    assert found == f"and(x-bartizan-source within 10.0.0.1/32 ::ffff:a00:1/128, {cel})"


def test_a_device_is_the_first_that_is_found() -> None:
    bot = shape(parse('device.type == "bot"', SCHEMA).predicate())
    unknown = shape(parse('device.type == "unknown"', SCHEMA).predicate())
    assert bot.startswith("or(user-agent")
    assert unknown.count("not(user-agent") == 6
    assert shape(parse('device.type != "unknown"', SCHEMA).denial()) == unknown
