"""The talk with one Envoy, told as a talk: `>>` is what Envoy says, `<<` what it is answered."""

from collections.abc import Iterable

from bartizan.xds.dialogue import Dialogue, Refusal, Request, Response
from bartizan.xds.release import CLUSTER, ENDPOINTS, EXTENSION, LISTENER, ROUTES, SCOPE, SECRET, Resource, State, Step, resource

A = resource(ROUTES, "a", b"a")
A2 = resource(ROUTES, "a", b"a2")
B = resource(ROUTES, "b", b"b")
UP = resource(CLUSTER, "up", b"up")
WEB = resource(LISTENER, "web", b"web")


class Talk:
    """A dialogue, with its lines written down."""

    def __init__(self, *held: Resource) -> None:
        self.state = State()
        self.state.take(Step(held))
        self.dialogue = Dialogue(self.state)
        self.refusal: Refusal | None = None

    def hears(self, type_url: str, *subscribe: str, **more: object) -> list[str]:
        responses, self.refusal = self.dialogue.receive(Request(type_url, subscribe, **more))  # type: ignore[arg-type]
        return lines(responses)

    def changes(self, *changed: Resource, removed: tuple[tuple[str, str], ...] = ()) -> list[str]:
        self.state.take(Step(changed, removed))
        said = []
        for type_url in dict.fromkeys([*(one.type_url for one in changed), *(gone for gone, _ in removed)]):
            mine = [one for one in changed if one.type_url == type_url]
            said += self.dialogue.push(type_url, mine, [name for gone, name in removed if gone == type_url])
        return lines(said)


def lines(responses: Iterable[Response]) -> list[str]:
    """As `nonce: +name=body -name`."""
    return [
        f"{one.nonce}: " + " ".join([*(f"+{r.name}={r.body.decode()}" for r in one.resources), *(f"-{name}" for name in one.removed)])
        for one in responses
    ]


def test_a_wildcard_is_answered_with_all() -> None:
    talk = Talk(UP)
    assert talk.hears(CLUSTER) == ["1: +up=up"]


def test_an_empty_wildcard_is_answered_too() -> None:
    assert Talk().hears(LISTENER) == ["1: "]
    assert Talk().hears(SCOPE, "*") == ["1: "]


def test_names_are_answered_with_what_is_there_and_what_is_not() -> None:
    assert Talk(A).hears(ROUTES, "a", "b") == ["1: +a=a -b"]
    assert Talk().hears(SECRET, "cert") == ["1: -cert"]
    assert Talk().hears(ENDPOINTS, "up") == ["1: -up"]


def test_a_filter_that_is_missing_keeps_its_listener_closed() -> None:
    talk = Talk()
    assert talk.hears(EXTENSION, "keys/a") == []
    assert talk.changes(resource(EXTENSION, "keys/a", b"k")) == ["1: +keys/a=k"]


def test_what_was_missing_is_delivered_later() -> None:
    talk = Talk()
    talk.hears(ROUTES, "a")
    assert talk.changes(A, B) == ["2: +a=a"]


def test_what_nobody_asked_for_is_not_sent() -> None:
    talk = Talk()
    assert talk.changes(A) == []
    talk.hears(ROUTES, "b")
    assert talk.changes(A2) == []
    assert talk.changes(removed=(A.key,)) == []


def test_a_removal_is_sent_to_whom_it_concerns() -> None:
    talk = Talk(A, UP)
    talk.hears(ROUTES, "a")
    talk.hears(CLUSTER)
    assert talk.changes(removed=(A.key, UP.key)) == ["3: -a", "4: -up"]


def test_what_envoy_kept_is_not_sent_again() -> None:
    talk = Talk(A2, B, UP)
    assert talk.hears(ROUTES, "a", "b", held={"a": A.version, "b": B.version}) == ["1: +a=a2"]
    assert talk.hears(CLUSTER, held={"up": UP.version, "old": "x"}) == ["2: -old"]


def test_a_reconnect_with_nothing_new_is_silent() -> None:
    talk = Talk(A, UP)
    assert talk.hears(CLUSTER, held={"up": UP.version}) == []
    assert talk.hears(ROUTES, "a", held={"a": A.version}) == []


def test_a_name_asked_for_again_is_sent_again() -> None:
    talk = Talk(A)
    assert talk.hears(ROUTES, "a") == ["1: +a=a"]
    assert talk.hears(ROUTES, unsubscribe=("a",)) == []
    assert talk.changes(A2) == []
    assert talk.hears(ROUTES, "a") == ["2: +a=a2"]
    assert talk.changes(A) == ["3: +a=a"]


def test_an_unsubscribed_wildcard_ends() -> None:
    talk = Talk(UP)
    talk.hears(CLUSTER, "*")
    talk.hears(CLUSTER, "up", unsubscribe=("*",))
    assert talk.changes(resource(CLUSTER, "more", b"m")) == []
    assert talk.changes(UP) == ["3: +up=up"]


def test_a_wildcard_asked_for_later_brings_all() -> None:
    talk = Talk(A, B)
    talk.hears(ROUTES, "a")
    assert talk.hears(ROUTES, "*") == ["2: +a=a +b=b"]


def test_is_quiet_when_all_is_asked_for_and_answered() -> None:
    talk = Talk(UP, WEB)
    assert not talk.dialogue.quiet
    talk.hears(CLUSTER)
    talk.hears(CLUSTER, nonce="1")
    assert not talk.dialogue.quiet, "listeners have not been asked for"
    talk.hears(LISTENER)
    assert not talk.dialogue.quiet
    talk.hears(ROUTES, "a")
    talk.hears(LISTENER, nonce="2")
    assert not talk.dialogue.quiet, "the routes that the listener names are not acknowledged"
    talk.hears(ROUTES, nonce="3")
    assert talk.dialogue.quiet
    assert talk.refusal is None


def test_a_refusal_names_what_was_refused_and_holds_no_key() -> None:
    talk = Talk(A, B)
    talk.hears(ROUTES, "a", "b")
    talk.hears(ROUTES, nonce="1", error="Duplicated credential key: 'hunter2' and bz_a23secret")
    assert talk.refusal is not None
    assert talk.refusal.names == ("a", "b")
    assert str(talk.refusal) == "Envoy refuses RouteConfiguration a, b: Duplicated credential key: *** and ***"


def test_an_acknowledgement_may_subscribe_at_once() -> None:
    talk = Talk(A, B)
    talk.hears(ROUTES, "a")
    assert talk.hears(ROUTES, "b", nonce="1") == ["2: +b=b"]
