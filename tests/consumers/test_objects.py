"""ObjectStream: typed objects on their way."""

from __future__ import annotations

import enum
import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import attrs
import pytest

from streamkit import Client, ConfigError, ConnectionLost, ObjectError, ObjectStream, StreamTruncated, stream_object
from streamkit.consumers.objects import Wanted
from streamkit.testing import Close, Event, ProviderServer, Status, chat_answer
from streamkit.typed import typed
from tests.loopback import delta


@attrs.define
class Section:
    """A part of a document."""

    title: str
    points: list[str]


@attrs.define
class Summary:
    """A summary."""

    headline: str
    sections: list[Section]
    score: float | None = None


@dataclass
class Pair:
    """Two numbers."""

    a: int
    b: int = 0


class Place(TypedDict):
    """A place."""

    city: str
    people: int


class Mood(enum.Enum):
    """A mood."""

    GOOD = "good"
    BAD = "bad"


SUMMARY = {"headline": "Hé 🎨", "sections": [{"title": "One", "points": ["a", "b"]}], "score": 0.5}


def wanted(client: Client, schema: Any, **options: Any) -> ObjectStream[Any]:
    """Ask for an object."""
    return stream_object(client.model("gpt-4o"), schema, prompt="Give it", **options)


def pieces(text: str, size: int = 3) -> list[str]:
    """A text as a model gives it."""
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_partials_grow(size: int, server: ProviderServer, client: Client) -> None:
    """Each has more than the one before, none is there twice, and the last is the object."""
    server.reply(*chat_answer(*pieces(json.dumps(SUMMARY), size)))
    stream = wanted(client, Summary)
    partials = list(stream.partial_object_stream())

    assert Summary("Hé 🎨", [Section("One", ["a", "b"])], 0.5) == partials[-1] == stream.result().object
    assert all(a != b for a, b in itertools.pairwise(partials))
    if size == 1:
        assert [None, "", "H", "Hé", "Hé ", "Hé 🎨"] == list(dict.fromkeys(partial.headline for partial in partials))
        assert (
            [[], [Section(None, [])], [Section("", [])]]
            == [  # type: ignore[arg-type]
                list(sections)
                for i, sections in enumerate(partial.sections for partial in partials)
                if i == 0 or sections != partials[i - 1].sections
            ][:3]
        )
    assert all(isinstance(partial, Summary) for partial in partials)


def test_a_string_cut_in_an_escape(server: ProviderServer, client: Client) -> None:
    """Half an escape, or half a pair of surrogates, is not shown."""
    text = r'{"city": "\u00e9\ud83c\udfa8", "people": 12}'
    server.reply(*chat_answer(*pieces(text, 1)))
    partials = list(wanted(client, Place).partial_object_stream())

    assert [{}, {"city": ""}, {"city": "é"}, {"city": "é🎨"}, {"city": "é🎨", "people": 12}] == partials


CASES: list[tuple[Any, Any, Any]] = [
    (Pair, {"a": 1, "b": 2}, Pair(1, 2)),
    (Place, {"city": "Rome", "people": 3}, {"city": "Rome", "people": 3}),
    (list[Pair], {"items": [{"a": 1}, {"a": 2, "b": 3}]}, [Pair(1), Pair(2, 3)]),
    (dict[str, int], {"x": 1}, {"x": 1}),
    (Mood, {"value": "bad"}, Mood.BAD),
    (Literal["yes", "no"], {"value": "no"}, "no"),
    (int, {"value": 7}, 7),
    (int | None, {"value": None}, None),
    ({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"a": 5}, {"a": 5}),
    ({"type": "array", "items": {"type": "integer"}}, {"items": [1, 2]}, [1, 2]),
]


@pytest.mark.parametrize("mode", ["native", "tool", "prompt"])
@pytest.mark.parametrize(("schema", "sent", "expected"), CASES)
def test_every_type_in_every_mode(
    schema: Any, sent: Any, expected: Any, mode: Any, server: ProviderServer, client: Client
) -> None:
    """The object is the same, however its schema was sent."""
    if mode == "tool":
        server.reply(*chat_answer(tool_calls=[("answer", sent)]))
    else:
        server.reply(*chat_answer(*pieces(json.dumps(sent))))
    stream = wanted(client, schema, mode=mode)
    partials = list(stream.partial_object_stream())

    assert expected == stream.result().object
    assert not partials or expected == partials[-1] or isinstance(expected, list)


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"a": 1}\n```',
        'Sure! Here is {your} object:\n\n{"a": 1}\n\nDo you need {more}?',
        '  {"a": 1}  ',
        '{"a":1}{"a":2}',
    ],
)
def test_prose_and_fences_around_it(text: str, server: ProviderServer, client: Client) -> None:
    """Are passed over."""
    server.reply(*chat_answer(*pieces(text)))
    stream = wanted(client, Pair, mode="prompt")

    assert [Pair(None, None), Pair(1, None)] == list(stream.partial_object_stream())  # type: ignore[arg-type]
    assert Pair(1) == stream.result().object


@pytest.mark.parametrize(
    ("text", "finish", "path", "says"),
    [
        ('{"a": "x"}', "stop", "a", "a must be integer, not 'x'"),
        ('{"b": 1}', "stop", "a", "a is missing"),
        ('{"a": 1, "c": 2}', "stop", "c", "c is unknown"),
        ('{"a": 1', "stop", "", "is not whole, or no JSON"),
        ('{"a": 1, "b": ', "length", "", "cut off by the limit of tokens: raise max_tokens"),
        ("I would rather not.", "stop", "", "holds no JSON object: 'I would rather not.'"),
        ("", "content_filter", "", "was refused"),
        ('{"a": 1,, "b": 2}', "stop", "", "is no JSON from character 8 on"),
        ('{"a": NaN}', "stop", "", "is not whole, or no JSON"),
        ('{"b": 1, "a": NaN}', "stop", "", "is no JSON from character 14 on"),
    ],
)
def test_an_answer_that_is_no_such_object(
    text: str, finish: str, path: str, says: str, server: ProviderServer, client: Client
) -> None:
    """Is an `ObjectError` with the path, the text and what there is of the object; views end, `err` has it, too."""
    server.reply(*chat_answer(text, finish=finish))
    stream = wanted(client, Pair)
    partials = list(stream.partial_object_stream())
    with pytest.raises(ObjectError) as raised:
        stream.result()
    error = raised.value

    assert says in str(error)
    assert (path, text) == (error.path, error.text)
    assert (partials[-1] if partials else None) == error.partial_object
    assert isinstance(stream.err(), ObjectError)
    assert error.partial is not None
    assert text == error.partial.text


@pytest.mark.parametrize(
    ("schema", "text", "says"),
    [
        (list[float], '{"items": [1e400]}', "1e400 is too large a number"),
        (dict[str, Any], '{"a":' * 201 + "1" + "}" * 201, "it is nested too deeply to be read"),
    ],
)
def test_json_that_python_cannot_hold(
    schema: Any, text: str, says: str, server: ProviderServer, client: Client
) -> None:
    """A number that would become infinite, or too many brackets: an error that says so, not another value."""
    server.reply(*chat_answer(text))

    assert says in str(wanted(client, schema).err())


def test_a_refusal_says_why(server: ProviderServer, client: Client) -> None:
    """In the model's own words, where it gave some."""
    refusal = Event({"choices": [{"index": 0, "delta": {"refusal": "I would rather not."}}]})
    head, *rest = chat_answer()
    server.reply(head, refusal, *rest)

    assert "was refused by the model or its provider: I would rather not." in str(wanted(client, Pair).err())


def test_text_where_a_call_was_asked_for(server: ProviderServer, client: Client) -> None:
    """A model that answers without calling the tool: what it says is read, by every view."""
    server.reply(*chat_answer(*pieces('Here: {"items": [{"a": 1}, {"a": 2}]}')))
    stream = wanted(client, list[Pair], mode="tool")

    assert [Pair(1), Pair(2)] == stream.result().object
    assert [[1, 2]] == [[pair.a for pair in partial] for partial in stream.partial_object_stream()]
    assert [Pair(1), Pair(2)] == list(stream.element_stream())


def test_the_first_call_counts(server: ProviderServer, client: Client) -> None:
    """For every view, also where fragments of another come in between; text beside it does not."""
    calls = [("answer", {"items": [{"a": 1}]}), ("answer", {"items": [{"a": 2}]})]
    head, role, said, *rest = chat_answer("{}", tool_calls=calls)
    one, other = rest[:3], rest[3:6]
    mixed = [event for pair in zip(one, other, strict=True) for event in pair]
    server.reply(head, role, said, *mixed, *rest[6:])
    stream = wanted(client, list[Pair], mode="tool")

    assert [Pair(1)] == stream.result().object == list(stream.element_stream())
    assert [[], [1]] == [[pair.a for pair in partial] for partial in stream.partial_object_stream()]


def test_a_class_that_checks_itself(server: ProviderServer, client: Client) -> None:
    """Its validators and converters run at the end, not for partials."""

    @attrs.define
    class Even:
        """An even number."""

        n: int = attrs.field(converter=lambda n: n * 10)

        @n.validator
        def _even(self, _: Any, n: int) -> None:
            if n > 50:
                raise ValueError("too much")

    server.reply(*chat_answer('{"n": 4}'))
    server.reply(*chat_answer('{"n": 6}'))
    stream = wanted(client, Even)

    assert [4] == [partial.n for partial in stream.partial_object_stream()]
    assert 40 == stream.result().object.n
    with pytest.raises(ObjectError, match="too much"):
        wanted(client, Even).result()


def test_elements_as_they_come(server: ProviderServer, client: Client) -> None:
    """Each once, whole and checked, before the next has begun; the last views see all from the beginning."""
    server.reply(*chat_answer(*pieces(json.dumps({"items": [{"a": 1}, {"a": 2, "b": 3}, {"a": 4}]}), 1)))
    stream = wanted(client, list[Pair])
    elements = stream.element_stream()

    assert Pair(1) == next(elements)
    assert [Pair(2, 3), Pair(4)] == list(elements)
    assert [Pair(1), Pair(2, 3), Pair(4)] == list(stream.element_stream()) == stream.result().object


@pytest.mark.parametrize(
    ("schema", "items"),
    [(list[int], [1, 2, 3]), (list[str], ["a", "é"]), (list[list[int]], [[1], [], [2, 3]]), (list[Mood], [])],
)
def test_elements_of_other_types(schema: Any, items: list[Any], server: ProviderServer, client: Client) -> None:
    """Scalars and lists are elements as well."""
    server.reply(*chat_answer(*pieces(json.dumps({"items": items}), 2)))

    assert items == list(wanted(client, schema).element_stream())


@pytest.mark.parametrize("schema", [Pair, Summary, dict[str, list[int]], int, {"type": "object"}])
def test_elements_of_what_is_no_list(schema: Any, server: ProviderServer, client: Client) -> None:
    """Are a mistake that is told at once; the lists in an object are not taken for it."""
    server.reply(*chat_answer("{}"))
    with wanted(client, schema) as stream, pytest.raises(ConfigError, match="is for lists"):
        stream.element_stream()


def test_an_element_that_does_not_fit(server: ProviderServer, client: Client) -> None:
    """Ends the elements before it; `err` says which."""
    server.reply(*chat_answer('{"items": [{"a": 1}, {"a": "x"}, {"a": 3}]}', thinking='{"items": [{"a": 0}]}'))
    stream = wanted(client, list[Pair])

    assert [Pair(1)] == list(stream.element_stream())
    assert "[1].a must be integer" in str(stream.err())


def test_elements_of_a_second_try(server: ProviderServer, client: Client) -> None:
    """They go on where the first failed; what was given of that is not given again."""
    server.reply(*chat_answer(*pieces('{"items": [{"a": 1}, {"a": "x"}, {"a": 9}]}')))
    server.reply(*chat_answer(*pieces('{"items": [{"a": 1}, {"a": 2}, {"a": 3}]}')))
    stream = wanted(client, list[Pair], repair=True)

    assert [Pair(1), Pair(2), Pair(3)] == stream.result().object == list(stream.element_stream())


def test_a_cut_stream(server: ProviderServer, client: Client) -> None:
    """Its error is that of the stream; what had come is in the partials."""
    server.reply(Status(), delta('{"a": 1, '), Close())
    stream = wanted(client, Pair)

    assert Pair(1, None) == list(stream.partial_object_stream())[-1]  # type: ignore[arg-type]
    assert isinstance(stream.err(), (StreamTruncated, ConnectionLost))
    with pytest.raises((StreamTruncated, ConnectionLost)):
        stream.result()


def test_views_from_many_threads(server: ProviderServer, client: Client) -> None:
    """Each from the beginning, while the answer is coming."""
    server.reply(*chat_answer(*pieces(json.dumps(SUMMARY), 2)))
    stream = wanted(client, Summary)
    together = threading.Barrier(4)

    def read(_: int) -> list[Any]:
        together.wait(5)
        return list(stream.partial_object_stream())

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(read, range(4))

    assert all(first == other for other in others)


def test_partials_of_a_wide_object() -> None:
    """Not each delta gets one of its own, so that all together copy a number of members that is linear in the text."""
    wide = Wanted(kind=typed(list[int]), member="items")
    copied = []
    for n in (2_000, 4_000):
        parser, copies = wide.parser(), 0
        text = json.dumps({"items": list(range(n))})
        spent, allowed, changed = 0, 0, False
        for piece in pieces(text, 4):
            allowed += 64 * len(piece)
            changed = parser.feed(piece) or changed
            cost = 1 + parser.members + parser.characters // 100
            if changed and spent + cost <= allowed:
                spent, changed, copies = spent + cost, False, copies + parser.members
        copied.append(copies)

    assert copied[1] < 2.5 * copied[0]
