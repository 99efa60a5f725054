"""Which CEL a condition becomes, and that it never errs."""

import itertools
import json
from datetime import datetime

import pytest
from cel_expr_python import cel

from bartizan.condition import Schema, Sources, choice, parse
from bartizan.condition.expression import expression
from bartizan.condition.syntax import emitted
from bartizan.condition.zones import DAYS
from bartizan.envoy import message_type
from tests.unit.condition.shape import written

SCHEMA = Schema({"plan": "string", "level": "number", "admin": "bool", "regions": "list"})
METADATA = "metadata.filter_metadata"
SCRATCH = Sources(time="header", address="header")


def read(of: str) -> str:
    return f'{METADATA}["bartizan.principal"]["{of}"]'


def flat(text: str) -> str:
    return text.replace("(", "").replace(")", "")


@pytest.mark.parametrize(
    ("text", "cel_text"),
    [
        ("principal.admin", f'type({read("admin")}) == string && {read("admin")} in ["true", "false"] && {read("admin")} == "true"'),
        ('principal.plan in ["a", "b"]', f'type({read("plan")}) == string && {read("plan")} in ["a", "b"]'),
        ("principal.level < 5", f"{read('level')} <= 1.7976931348623157e+308 && {read('level')} < 5.0"),
        ("request.size <= 5", "has(request.size) && request.size <= 5"),
        ("request.size <= 5.5", "has(request.size) && double(request.size) <= 5.5"),
        ("principal.level > request.size", f"{read('level')} > double(request.size)"),
        ('request.query.contains("a")', '":path" in request.headers && request.query.contains("a")'),
        ('now.weekday("UTC") in ["tue", "sun"]', 'request.time.getDayOfWeek("UTC") in [0, 2]'),
        ('now.weekday("UTC") in ["tue", "mon"]', 'request.time.getDayOfWeek("UTC") + 6 % 7 < 2'),
        ('now.weekday("UTC") in ["sun", "mon"]', 'request.time.getDayOfWeek("UTC") < 2'),
        (
            'now.date("UTC") >= "2030-01-31"',
            'request.time.getFullYear("UTC") * 10000 + request.time.getMonth("UTC") + 1 * 100 + request.time.getDate("UTC") >= 20300131',
        ),
        ('now.after("2030-01-31T01:00:00+01:00")', 'request.time >= timestamp("2030-01-31T00:00:00Z")'),
        ('now.between("08:00", "18:30", "UTC")', 'request.time.getHours("UTC") * 60 + request.time.getMinutes("UTC") >= 480 && '),
        ('now.between("22:00", "06:00", "UTC")', " || "),
        ('source.ip.within("10.0.0.0/8")', r'source.address.matches("^?:\\[?::ffff:?10\\.")'),
    ],
)
def test_cel(text: str, cel_text: str) -> None:
    found = flat(written(expression(parse(text, SCHEMA).node, True, Sources())))
    assert flat(cel_text) in found


def test_each_set_of_weekdays_is_those_days() -> None:
    environment = cel.NewEnv()
    moments = {day: f"2030-06-{2 + i:02}T12:00:00+00:00" for i, day in enumerate(DAYS)}
    assert list(DAYS) == [datetime.fromisoformat(moment).strftime("%a").lower() for moment in moments.values()]
    for chosen in itertools.chain.from_iterable(itertools.combinations(DAYS, count) for count in range(1, 8)):
        node = parse(f'now.weekday("UTC") in {json.dumps(chosen)}', SCHEMA, whole_in_cel=True).node
        for want in (True, False):
            compiled = environment.compile(written(expression(node, want, SCRATCH)), disable_check=True)
            for day, moment in moments.items():
                found = compiled.eval(data={"request": {"headers": {"x-bartizan-now": moment}}})
                assert found.value() is ((day in chosen) is want), (chosen, day, want)


def _worlds() -> list[dict[str, object]]:
    """Metadata may hold anything; headers are strings."""
    junk = ("", "x", '["a"', "true", 5.0, float("nan"), True, None, [])
    headers = [dict.fromkeys(("x-a", "user-agent", ":authority", "content-length", "x-bartizan-source"), each) for each in ("", "x", "[::")]
    principals = [dict.fromkeys(SCHEMA.names(), each) for each in junk]
    metadata = [{}, *({"bartizan.principal": principal} for principal in [{}, *principals])]
    return [
        {"request": {"headers": header}, "metadata": {"filter_metadata": each}, "connection": {}, "source": {}}
        for header in [{}, *headers]
        for each in metadata
    ]


@pytest.mark.parametrize(
    "text",
    [
        'principal.plan == "a" || principal.level > 3 || principal.admin || "a" in principal.regions',
        'principal.plan.matches("a") != (principal.plan < principal.id)',
        'principal.admin ? size(principal.plan) > 2 : request.headers["x-a"].startsWith(principal.id)',
        'request.host == "a" || device.type == "bot" || device.ja4 == "a" || has(device.certificate)',
        "request.size > principal.level",
        'source.ip.within("10.0.0.0/8") || now.hour("UTC") < 24 || now.date("UTC") > "2020-01-01"',
    ],
)
def test_it_never_errs(text: str) -> None:
    """Neither the expression nor its opposite, whatever is missing or of the wrong type: cel-cpp evaluates them on such."""
    environment = cel.NewEnv()
    node = parse(text, SCHEMA, whole_in_cel=True).node
    for want in (True, False):
        compiled = environment.compile(written(expression(node, want, SCRATCH)), disable_check=True)
        for world in _worlds():
            found = compiled.eval(data=world)
            assert found.type() == cel.Type.BOOL, (text, world, found.value())


def test_choice() -> None:
    first, second = (parse(text, SCHEMA, whole_in_cel=True) for text in ("principal.level > 5", "principal.level > 3"))
    found = choice([first, second, None])
    assert found.DESCRIPTOR.full_name == "google.api.expr.v1alpha1.Expr"
    parsed = message_type("cel.expr.Expr").FromString(found.SerializeToString())
    assert parsed.call_expr.function == "_?_:_"
    assert parsed.call_expr.args[1].const_expr.string_value == "0"
    last = parsed.call_expr.args[2].call_expr
    assert [last.args[1].const_expr.string_value, last.args[2].const_expr.string_value] == ["1", "2"]
    assert choice([]).const_expr.string_value == "none"
    with pytest.raises(ValueError, match="at most 20"):
        choice([first] * 21)


def test_every_part_has_an_id_of_its_own() -> None:
    ids: list[int] = []

    def walk(part: object) -> None:
        ids.append(part.id)
        for kind in ("call_expr", "list_expr", "select_expr"):
            if part.HasField(kind):
                body = getattr(part, kind)
                inner = [body.operand] if kind == "select_expr" else list(body.elements if kind == "list_expr" else body.args)
                for each in inner + ([body.target] if kind == "call_expr" and body.HasField("target") else []):
                    walk(each)

    walk(emitted(expression(parse('principal.plan in ["a"] && has(request.size)', SCHEMA).node, True, Sources())))
    assert len(ids) == len(set(ids)) > 10
    assert 0 not in ids
