"""The contract of a provider: what every decoder shares, JSON from a stranger, and the POST that carries a request."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import codec
from streamkit.codec import Decoder, HttpRequest, parse_arguments, parse_json, post, scrub
from streamkit.errors import ConfigError, DecodeError
from streamkit.framing import Event
from streamkit.types import Fold, Secret, Source, TextChunk, ToolCallChunk, Usage
from tests.strategies import PROPERTY

# -- JSON


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", {}),
        (' \t\r\n{"a": [1, 2.5, null, true, "é"]} \n', {"a": [1, 2.5, None, True, "é"]}),
        ('"x"', "x"),
        ("-0", 0),
        ("1e400", float("inf")),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ('{"a":1,"a":2}', {"a": 2}),
        ('"\\ud83d\\ude00"', "😀"),
        ('"\\ud83d"', "\ud83d"),
        ('"\\u0000"', "\x00"),
    ],
)
def test_json(text: str, expected: object) -> None:
    """Every JSON text gives its value, white space around it or not."""
    assert repr(expected) == repr(parse_json(text))


NO_JSON = [
    "",
    " ",
    "x",
    "{",
    "{}}",
    "{} x",
    "[1,]",
    "'a'",
    "\ufeff{}",
    '"\n"',
    "01",
    "1" * 5000,
    "[" * 100_000,
    "[" * 100_000 + "]" * 100_000,
]


@pytest.mark.parametrize("text", NO_JSON, ids=range(len(NO_JSON)))
def test_what_is_no_json(text: str) -> None:
    """Anything else, numbers and nesting without end included, is a DecodeError that shows and keeps a part of it."""
    with pytest.raises(DecodeError, match="not JSON") as caught:
        parse_json(text)

    assert text[:2000] == caught.value.event
    assert len(str(caught.value)) < 500


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud83d"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@PROPERTY
@given(_JSON, st.booleans(), st.text(' \n{}[]",:0123456789.eE-+tfnINx\\ud8\x00', max_size=5), st.integers(0, 200))
def test_msgspec_makes_no_difference(value: Any, ascii_only: bool, noise: str, place: int) -> None:
    """Value or error, the result is the same with msgspec as without, also for texts that are nearly JSON."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    text = text[: place % (len(text) + 1)] + noise + text[place % (len(text) + 1) :]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "_WORTH_AN_IMPORT", 0)

        assert _outcome(codec._parse_slowly, text) == _outcome(parse_json, text)


def _outcome(parse: Any, text: str) -> str:
    try:
        return repr(parse(text))
    except DecodeError as e:
        return f"{e} {e.event}"


def test_msgspec_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, json does the work."""
    codec._fast_decode.cache_clear()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "msgspec", None)
        patch.setattr(codec, "_WORTH_AN_IMPORT", 0)
        found, value = codec._fast_decode(), parse_json("[1]")
    codec._fast_decode.cache_clear()

    assert (None, [1]) == (found, value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", {}), (" \n", {}), ("{}", {}), ('{"a": "\\ud83d"}', {"a": "\ufffd"}), ("[1]", [1]), ("3", 3)],
)
def test_arguments(text: str, expected: object) -> None:
    """Arguments are what their text says; no text at all means none."""
    assert (expected, None) == parse_arguments(text)


@pytest.mark.parametrize("text", ["{", "{}{}", "x", "1" * 5000, "[" * 5000 + "]" * 5000, "[" * 100_000])
def test_arguments_that_are_none(text: str) -> None:
    """What is not JSON, or too deep to be walked, gives nothing and why."""
    arguments, why = parse_arguments(text)

    assert None is arguments
    assert why
    assert len(why) <= 201


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "a"),
        ("é😀", "é😀"),
        ("\ud83d\ude00", "😀"),
        ("a\ud83db\ude00", "a\ufffdb\ufffd"),
        ({"\ud83d": ["\ud83d", 1, None, {"a": "\udc00"}]}, {"\ufffd": ["\ufffd", 1, None, {"a": "\ufffd"}]}),
    ],
)
def test_scrub(value: object, expected: object) -> None:
    """Pairs of surrogates are joined and single ones replaced, in all texts of JSON data."""
    assert expected == scrub(value)


# -- the POST


def test_a_post() -> None:
    """A body goes out as compact JSON in UTF-8 that asks for an unencoded event stream; secrets do not print."""
    sent = post("http://h", {"é": "\ud83d😀"}, headers={"X-Version": "1"}, secrets={"X-Key": Secret("hidden")})

    assert sent == HttpRequest(
        url="http://h",
        body='{"é":"\ufffd😀"}'.encode(),
        headers={
            "Content-Type": "application/json",
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "X-Version": "1",
        },
        secrets={"X-Key": Secret("hidden")},
    )
    assert "hidden" not in repr(sent)


def test_mappings_and_tuples_are_json() -> None:
    """Any mapping is an object and any sequence of the common kinds a list."""
    assert b'{"a":{"b":[1,2]}}' == post("u", MappingProxyType({"a": MappingProxyType({"b": (1, 2)})})).body


def _circle() -> Mapping[str, Any]:
    circle: dict[str, Any] = {}
    circle["a"] = circle
    return circle


def _deep() -> Mapping[str, Any]:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    return deep


NO_BODIES: list[Any] = [{"a": object()}, {"a": {1}}, {"a": b"x"}, {(1,): 2}, {"a": float("nan")}, _circle(), _deep()]


@pytest.mark.parametrize("body", NO_BODIES, ids=range(len(NO_BODIES)))
def test_bodies_that_are_no_json(body: Mapping[Any, Any]) -> None:
    """They are refused before they are sent."""
    with pytest.raises(ConfigError, match="cannot be written as JSON"):
        post("u", body)


def test_own_headers() -> None:
    """The user's headers win, whatever their case; white space around a value is no part of it."""
    sent = post("u", {}, headers={"X-A": "ours"}, own={"x-a": " mine ", "ACCEPT": "*/*", "X-B": "é"})

    assert {
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        "x-a": "mine",
        "ACCEPT": "*/*",
        "X-B": "é",
    } == sent.headers


@pytest.mark.parametrize("name", ["Authorization", "authorization", "X-API-Key", "api-key", "x-goog-api-key", "Cookie"])
def test_own_credentials_are_kept_apart(name: str) -> None:
    """A header that carries a credential is a secret, whoever sets it."""
    sent = post("u", {}, own={name: "hidden"})

    assert {name: Secret("hidden")} == sent.secrets
    assert name not in sent.headers


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"X-A": "a\nb"}, "header X-A: .*control"),
        ({"X-A": "a\x00"}, "header X-A: .*control"),
        ({"X-A": "世"}, "header X-A: .*no HTTP header can carry"),
        ({"X-A": 5}, "header X-A must be a str"),
        ({"X A": "a"}, "'X A' cannot be the name"),
        ({"": "a"}, "'' cannot be the name"),
        ({"X-A\n": "a"}, "cannot be the name"),
        ({5: "a"}, "5 cannot be the name"),
        ({"content-length": "1"}, "leave it out"),
        ({"Transfer-Encoding": "chunked"}, "leave it out"),
        ({"AUTHORIZATION": "x"}, "api_key"),
    ],
)
def test_own_headers_that_are_refused(own: Any, says: str) -> None:
    """What no header can carry, what would break the message and what would replace the key; no value is shown."""
    with pytest.raises(ConfigError, match=says) as caught:
        post("u", {}, secrets={"Authorization": Secret("Bearer x")}, own=own)

    assert "a\nb" not in str(caught.value)


# -- decoders


class Echo(Decoder):
    """Calls the method that an event names, with its data."""

    def event(self, event: Event) -> None:
        """Decode one event."""
        if event.event == "end":
            self.finished = True
        elif event.event == "deep":
            self.event(event)
        else:
            getattr(self, event.event)(*json.loads(event.data))


def fed(*calls: tuple[Any, ...], index: int = 0) -> Echo:
    """A decoder that was told to make these calls."""
    decoder = Echo(provider="echo", index=index)
    decoder.out = decoder.feed([Event(json.dumps(arguments), name) for name, *arguments in calls])
    return decoder


def test_chunks_in_order() -> None:
    """Each method adds its kind of chunk; indices begin where the decoder was told to and have no gaps."""
    calls = [
        ("text", "a"),
        ("thinking", "b"),
        ("tool_start", "id", "f"),
        ("tool_delta", "id", "{"),
        ("tool_call", "id", "f", "{}"),
        ("step_finish", "stop"),
    ]
    decoder = fed(*calls, index=7)
    decoder.source(Source(url="u"))

    assert [
        ("text", 7),
        ("thinking", 8),
        ("tool_call_start", 9),
        ("tool_call_delta", 10),
        ("tool_call", 11),
        ("step_finish", 12),
        ("source", 13),
    ] == [(c.type, c.index) for c in decoder.take()]
    assert [] == decoder.take()


def test_nothing_is_no_chunk() -> None:
    """Empty text makes none, unless it says something beside it."""
    decoder = fed(("text", ""), ("thinking", ""), ("text", "", {"a": 1}), ("thinking", "", {"b": 2}))

    assert [("text", {"a": 1}), ("thinking", {"b": 2})] == [(c.type, c.metadata) for c in decoder.take()]


def test_plain_text_is_an_ordinary_chunk() -> None:
    """A text chunk made the quick way equals, prints and hashes as any other, and cannot be changed either."""
    quick, ordinary = fed(("text", "a")).take()[0], TextChunk(content="a", index=0)

    assert (ordinary, repr(ordinary)) == (quick, repr(quick))
    with pytest.raises(AttributeError):
        quick.content = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([("text", "\ud83d"), ("text", "\ude00")], [("text", "😀")]),
        ([("text", "a\ud83d"), ("text", "b")], [("text", "a"), ("text", "\ufffdb")]),
        ([("text", "\ude00a")], [("text", "\ufffda")]),
        ([("text", "\ud83d"), ("thinking", "b")], [("text", "\ufffd"), ("thinking", "b")]),
        ([("text", "\ud83d"), ("thinking", ""), ("text", "\ude00")], [("text", "😀")]),
        ([("thinking", "\ud83d"), ("tool_start", "i", "f")], [("thinking", "\ufffd"), ("tool_call_start", "")]),
        ([("text", "\ud83d"), ("step_finish", "stop")], [("text", "\ufffd"), ("step_finish", "")]),
        ([("text", "\ud83d"), ("tool_call", "i", "f", "")], [("text", "\ufffd"), ("tool_call", "")]),
    ],
)
def test_pairs_split_over_two_deltas(calls: list[Any], expected: list[Any]) -> None:
    """A pair of surrogates that two deltas brought is joined; half of one is replaced where it stands."""
    assert expected == [(c.type, c.content) for c in fed(*calls).take()]


def test_calls_are_scrubbed_and_marked() -> None:
    """Ids, names and arguments can be encoded; what is not JSON, or not whole, says why."""
    decoder = fed(("tool_call", "\ud83d", "\ud83d", '"\ud83d"'), ("tool_call", "b", "f", "{"))
    decoder.tool_call("c", "g", "", why="cut")
    made = [c for c in decoder.take() if isinstance(c, ToolCallChunk)]

    assert [
        ("\ufffd", "\ufffd", '"\ufffd"', "\ufffd"),
        ("b", "f", "{", None),
        ("c", "g", "", {}),
    ] == [(c.tool_call_id, c.tool_name, c.tool_input, c.arguments) for c in made]
    assert {} == made[0].metadata
    assert "JSONDecodeError" in made[1].metadata["arguments_error"]
    assert {"arguments_error": "cut"} == made[2].metadata


def test_what_follows_the_end_is_not_read() -> None:
    """Once a decoder has finished, it leaves the rest of the batch alone."""
    assert ["a"] == [c.content for c in fed(("text", "a"), ("end",), ("text", "b")).take()]


def test_nesting_too_deep_to_walk() -> None:
    """Whatever recursion an event leads to ends in an error of ours, after which the chunks before it can be taken."""
    decoder = Echo(provider="echo")
    with pytest.raises(DecodeError, match="nested too deeply"):
        decoder.feed([Event('["a"]', "text"), Event("x", "deep")])

    assert ["a"] == [c.content for c in decoder.take()]


def test_step_finish_says_what_was_learnt() -> None:
    """It carries usage, response and the provider's own word."""
    decoder = Echo(provider="echo", step=3)
    decoder.state.usage = Usage(prompt_tokens=1)
    decoder.state.id, decoder.state.model, decoder.state.raw_finish_reason = "r", "m", "END"
    decoder.step_finish("stop")
    fold = Fold()
    fold.add(decoder.take())
    response = fold.response(complete=True)

    assert ("stop", "END", 1, "r", "m") == (
        response.finish_reason,
        response.raw_finish_reason,
        response.usage.prompt_tokens,
        response.response.id,
        response.response.model,
    )


def test_the_base_has_no_wire() -> None:
    """What an event means, and when an answer is whole, every codec has to say."""
    decoder = Decoder(provider="none")
    with pytest.raises(NotImplementedError):
        decoder.feed([Event("{}")])
    with pytest.raises(NotImplementedError):
        decoder.end()
