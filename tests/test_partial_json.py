"""JSON in pieces: what the text says so far, whatever the pieces; prose around it; what is no JSON."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.partial_json import ANY, PartialJSON, Shape
from tests.strategies import PROPERTY, encodable_text


def fed(*pieces: str, opens: str = "{") -> PartialJSON:
    """Give a parser that has read these pieces."""
    parser = PartialJSON(opens=opens)
    for piece in pieces:
        parser.feed(piece)
    return parser


def partials(text: str, shape: Shape = ANY) -> list[Any]:
    """Give the values after each character that the parser says to have changed something."""
    parser = PartialJSON(shape)
    return [parser.value() for c in text if parser.feed(c)]


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | encodable_text
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(encodable_text, inner, max_size=4),
    max_leaves=20,
)
objects = st.dictionaries(encodable_text, values, max_size=5)
prose = st.text(st.characters(exclude_characters="{", exclude_categories=["Cs"]), max_size=20)


@st.composite
def texts(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """An object, and a text of it."""
    value = draw(objects)
    indent, ascii_only = draw(st.sampled_from([None, 0, 2])), draw(st.booleans())
    return value, json.dumps(value, indent=indent, ensure_ascii=ascii_only)


@st.composite
def pieces(draw: st.DrawFn, text: str) -> list[str]:
    """A text in pieces."""
    ends = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]


def agrees(part: Any, whole: Any, *, last: bool = True) -> bool:
    """Whether a partial value is one that can grow to the whole; only what came last may be unfinished."""
    if isinstance(whole, str) and isinstance(part, str):
        return whole.startswith(part) if last else whole == part
    if isinstance(whole, list) and isinstance(part, list):
        ends = [last and i + 1 == len(part) for i in range(len(part))]
        return len(part) <= len(whole) and all(map(lambda p, w, end: agrees(p, w, last=end), part, whole, ends))
    if isinstance(whole, dict) and isinstance(part, dict):
        ends = [last and i + 1 == len(part) for i in range(len(part))]
        return list(part) == list(whole)[: len(part)] and all(
            agrees(part[key], whole[key], last=end) for key, end in zip(part, ends, strict=True)
        )
    return bool(part == whole) and type(part) is type(whole)


@PROPERTY
@given(st.data())
def test_the_final_value_is_that_of_json_loads(data: st.DataObject) -> None:
    """Whatever stands around it, and however it is cut, the closed value is what the json module reads."""
    value, text = data.draw(texts())
    before = data.draw(prose)
    parser = fed(*data.draw(pieces(f"{before}{text}{data.draw(prose)}")))

    assert parser.complete and not parser.broken
    assert value == parser.value() == json.loads(text)
    assert (len(before), len(before) + len(text)) == (parser.start, parser.end)


@PROPERTY
@given(st.data())
def test_a_split_changes_nothing(data: st.DataObject) -> None:
    """At each point the value is that of a parser which was given all of the text at once."""
    _, text = data.draw(texts())
    text = text[: data.draw(st.integers(0, len(text)))]
    parser = PartialJSON()
    read = ""
    for piece in data.draw(pieces(text)):
        parser.feed(piece)
        read += piece

        assert fed(read).value() == parser.value()


@PROPERTY
@given(texts())
def test_a_partial_value_never_contradicts_the_final_one(drawn: tuple[dict[str, Any], str]) -> None:
    """What has come stays; only the end of the last string, list or object grows."""
    value, text = drawn
    for part in partials(text):
        assert agrees(part, value)


@PROPERTY
@given(texts())
def test_what_is_not_said_to_have_changed_has_not(drawn: tuple[dict[str, Any], str]) -> None:
    """`feed` gives True at every change of the value."""
    parser, before = PartialJSON(), None
    for c in drawn[1]:
        changed = parser.feed(c)

        assert changed or parser.value() == before
        before = parser.value()


@PROPERTY
@given(st.text(st.sampled_from('{}[]",:\\u0d8e1-. tn`x'), max_size=40), st.data())
def test_no_text_makes_it_raise(text: str, data: st.DataObject) -> None:
    """Hostile texts are read like all others, in any pieces, and what is complete is JSON."""
    parser = fed(*data.draw(pieces(text)))
    parser.value()

    assert fed(text).value() == parser.value()
    if parser.complete:
        json.loads(text[parser.start : parser.end], strict=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'{"a": "x', {"a": "x"}),
        (r'{"a": "x' + "\\", {"a": "x"}),
        (r'{"a": "x\u', {"a": "x"}),
        (r'{"a": "x\u00e', {"a": "x"}),
        (r'{"a": "x\u00e9', {"a": "xé"}),
        (r'{"a": "\ud83d', {"a": ""}),
        (r'{"a": "\ud83d' + "\\", {"a": ""}),
        (r'{"a": "\ud83d\ude0', {"a": ""}),
        (r'{"a": "\ud83d\ude00', {"a": "😀"}),
        (r'{"a": "\ud83dx', {"a": "\ufffdx"}),
        (r'{"a": "\ud83d\n', {"a": "\ufffd\n"}),
        (r'{"a": "\ud83d\u0041', {"a": "\ufffdA"}),
        (r'{"a": "\ud83d\ud83d\ude00', {"a": "\ufffd😀"}),
        (r'{"a": "\ude00', {"a": "\ufffd"}),
        (r'{"a": "\/\b\f\n\r\t\"\\', {"a": '/\b\f\n\r\t"\\'}),
        ('{"a": "two\nlines', {"a": "two\nlines"}),
    ],
)
def test_escapes_cut_in_half(text: str, expected: object) -> None:
    """A string grows by whole characters; a lone surrogate becomes U+FFFD."""
    assert expected == fed(text).value() == fed(*text).value()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 12', {}),
        ('{"a": 12 ', {"a": 12}),
        ('{"a": 12,', {"a": 12}),
        ('{"a": -', {}),
        ('{"a": 1.', {}),
        ('{"a": 1e', {}),
        ('{"a": -0.5E+2}', {"a": -50.0}),
        ('{"a": tru', {}),
        ('{"a": true,', {"a": True}),
        ('{"a": null}', {"a": None}),
        ('{"a": 1e400}', {"a": float("inf")}),
        ('{"a": ' + "9" * 900 + "}", {"a": int("9" * 900)}),
    ],
)
def test_scalars_at_the_edge(text: str, expected: object) -> None:
    """A number or word is there once what follows shows that it has ended."""
    seen = fed('{"z": 0, ' + text[1:]).value()
    del seen["z"]

    assert expected == seen


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, }',
        '{"a": 1 "b": 2}',
        '{"a": [1, ]}',
        '{"a": 1, b: 2}',
        '{"a": 1]',
        '{"a": [1}',
        '{"a": 1, "b": 01}',
        '{"a": 1, "b": 1.}',
        '{"a": 1, "b": +1}',
        '{"a": 1, "b": NaN}',
        '{"a": 1, "b": Infinity}',
        '{"a": 1, "b": ٣}',
        '{"a": 1, "b": \'x\'}',
        r'{"a": 1, "b": "\x"}',
        r'{"a": 1, "b": "\u00g0"}',
        '{"a": 1, "b" 2}',
        '{"a": 1, "b": ' + "9" * 1200 + "}",
        '{"a": ' * 250,
    ],
)
def test_what_is_no_json(text: str) -> None:
    """The parser says so, stays with what it has, and reads no further."""
    parser, whole = fed(*text), fed(text)

    assert parser.broken and not parser.complete
    assert parser.value() == whole.value()
    assert parser.end == whole.end < len(text)
    assert not parser.feed('{"a": 2}')


@pytest.mark.parametrize(
    "before",
    [
        "Sure, here it is:\n```json\n",
        "Use {placeholders} such as {name}: ",
        'It has the form {"items": [...]}: ',
        'It has the form {"items": [{...}, ...], "n": 1}: ',
        'Not {"a"} but ',
        "{",
        "{ [1, 2] } ",
        '{"\\x": 1} ',
        "<answer>",
    ],
)
def test_prose_around(before: str) -> None:
    """Text before the object is passed over, braces in it too, as is what follows."""
    text = f'{before}{{"a": {{"b": [1]}}}}\n```\nThat {{is}} all.'

    assert {"a": {"b": [1]}} == fed(text).value() == fed(*text).value()
    assert '{"a": {"b": [1]}}' == text[fed(*text).start : fed(*text).end]
    assert None not in partials(text)


def test_what_an_object_grows_through() -> None:
    """Strings grow, scalars come whole; until the first value has begun the object is empty."""
    expected = [
        {},
        {"a": ""},
        {"a": "h"},
        {"a": "hi"},
        {"a": "hi", "b": []},
        {"a": "hi", "b": [1]},
        {"a": "hi", "b": [1, {}]},
    ]

    assert expected == partials('{"a": "hi", "b": [1, {}]}')
    assert [{}] == partials("{}")
    assert [] == partials("no object")


def test_a_list_is_read_where_it_is_asked_for() -> None:
    """`opens` names the bracket that the value begins with."""
    parser = fed('The list {"a"}: [1, {"b": "x', opens="[")

    assert [1, {"b": "x"}] == parser.value()


def test_of_two_members_of_a_name_the_last_counts() -> None:
    """As in the json module; until it comes, the first stands."""
    assert [{"a": 1}, {"a": ""}, {"a": "x"}, {"a": "x"}] == [
        fed(text).value() for text in ('{"a": 1, "a', '{"a": 1, "a": "', '{"a": 1, "a": "x', '{"a": 1, "a": "x"}')
    ]


def test_a_value_is_not_changed_afterwards() -> None:
    """A partial value belongs to whoever asked for it: what is still open is copied."""
    parser = fed('{"a": [1, {"b": 2')
    first = parser.value()
    parser.feed(', "c": 3}, 4]}')

    assert {"a": [1, {}]} == first
    assert {"a": [1, {"b": 2, "c": 3}, 4]} == parser.value()


def test_truncation_leaves_what_has_come() -> None:
    """A text that ends early is neither complete nor broken."""
    parser = fed('```json\n{"a": {"b": "half a sen')

    assert {"a": {"b": "half a sen"}} == parser.value()
    assert (False, False) == (parser.complete, parser.broken)


@pytest.mark.parametrize(("depth", "expected"), [(200, (True, False, False)), (201, (False, True, True))])
def test_the_deepest_nesting(depth: int, expected: tuple[bool, bool, bool]) -> None:
    """200 brackets are read; that there are more is told apart from what is no JSON."""
    parser = fed("{" + '"a":{' * (depth - 1) + "}" * depth)

    assert expected == (parser.complete, parser.broken, parser.too_deep)
    assert not fed('{"a":1,,').too_deep


def test_what_a_value_costs() -> None:
    """`members` and `characters` count what a copy of the value has to copy: open containers, not what is in them."""
    parser = fed('{"a": [[1, 2, 3], 4, 5], "b": {"c": "four')

    assert (1, 4) == (parser.members, parser.characters)


@attrs.frozen
class Upper:
    """A shape whose strings are None while they grow, and then in capitals."""

    def member(self, key: str) -> Shape:
        """All are alike."""
        return self

    def item(self) -> Shape:
        """All are alike."""
        return self

    def made(self, value: Any, *, growing: bool) -> Any:
        """Closed containers become tuples."""
        if isinstance(value, str):
            return None if growing else value.upper()
        return value if growing else tuple(value.items() if isinstance(value, dict) else value)


def test_a_shape_says_what_values_become() -> None:
    """Closing is a change where it makes something else; a growing item that is None is left out of its list."""
    expected = [
        {},
        {"a": None},
        {"a": "X"},
        {"a": "X", "b": []},
        {"a": "X", "b": ["Y"]},
        {"a": "X", "b": ("Y",)},
        (("a", "X"), ("b", ("Y",))),
    ]

    assert expected == [value for value, _ in itertools.groupby(partials('{"a": "x", "b": ["y"]}', Upper()))]


@pytest.mark.slow
def test_the_cost_is_linear_in_the_text() -> None:
    """A text four times as long takes about four times as long, in the smallest pieces."""

    def seconds(n: int) -> float:
        text = json.dumps({"items": [{"id": i, "name": f"n{i:05}", "x": "some text"} for i in range(n)]})
        parser, begin = PartialJSON(), time.process_time()
        for c in text:
            parser.feed(c)
        assert parser.complete
        return time.process_time() - begin

    assert min(seconds(4000) for _ in range(3)) < 10 * min(seconds(1000) for _ in range(3))
