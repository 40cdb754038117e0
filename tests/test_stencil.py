"""Stencils: pieces of text read from events by their likeness to earlier ones, exactly as parsing would read them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.stencil import Stencil
from tests.strategies import PROPERTY


def plain(value: Any) -> tuple[str, str] | None:
    """An event is plain where `a` or `b` is all its text."""
    found = [(name, value[name]) for name in ("a", "b") if type(value.get(name)) is str]
    return found[0] if len(found) == 1 else None


def learnt(*texts: str) -> Stencil:
    """A stencil that has seen these events."""
    stencil = Stencil(plain, stamp="id", padding=("pad", "p.d"))
    for text in texts:
        stencil.learn(text, json.loads(text))
    return stencil


ONE, TWO = '{"i":1,"a":"x","z":[2]}', '{"i":1,"a":"yy","z":[2]}'


def test_nothing_is_read_before_two_events_were_alike() -> None:
    """One event proves nothing."""
    assert None is Stencil(plain).read(ONE)
    assert None is learnt(ONE).read(TWO)
    assert None is learnt(ONE, '{"i":2,"a":"x","z":[2]}').read(ONE)


@pytest.mark.parametrize(
    "content", ["", "x", "é", "\\n", '\\"', "\\u00e9", "\\\\", "\\ud83d\\ude00", "\\ud83d", "\u2028", "\x7f"]
)
def test_the_text_of_a_like_event(content: str) -> None:
    """The text is read as json reads it, escapes and all."""
    text = f'{{"i":1,"a":"{content}","z":[2]}}'

    assert json.loads(text)["a"] == learnt(ONE, TWO).read(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"i":1,"a":"x","z":[3]}',
        '{"i":1,"a":"x","z":[2]} ',
        '{"i":1,"a":"x"}',
        '{"i":1,"a":"x","z":[2],"a":"y"}',
        '{"i":2,"a":"x","z":[2]}',
        '{"i":1,"a":5,"z":[2]}',
        '{"i":1,"a":"x',
        '{"i":1,"a":"\n","z":[2]}',
        '{"i":1,"a":"\\x","z":[2]}',
        '{"i":1,"b":"x","z":[2]}',
    ],
)
def test_events_that_are_not_alike(text: str) -> None:
    """What differs in anything but the text, or is not JSON, has to be parsed."""
    assert None is learnt(ONE, TWO).read(text)


PADDED = '{"i":1,"a":"x","pad":"abc","z":2}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"i":1,"a":"y","pad":"","z":2}', "y"),
        ('{"i":1,"a":"y","pad":"de\\"f","z":2}', "y"),
        ('{"i":1,"a":"y","pad":"de","z":3}', None),
        ('{"i":1,"a":"y","pad":"de"}', None),
        ('{"i":1,"a":"y","pad":5,"z":2}', None),
        ('{"i":1,"a":"y","pod":"de","z":2}', None),
        ('{"i":1,"a":"y","z":2,"pad":"de"}', None),
        ('{"i":1,"a":"y","pad":"\n","z":2}', None),
    ],
)
def test_padding(text: str, expected: str | None) -> None:
    """Padding behind the text may differ, as long as it is a string; all else may not."""
    assert expected == learnt(PADDED, PADDED).read(text)


def test_the_name_of_padding_is_no_pattern() -> None:
    """A name is taken as it is written."""
    assert None is learnt('{"a":"x","pxd":"1"}', '{"a":"y","pxd":"1"}').read('{"a":"z","pxd":"2"}')


STAMPED = ('{"id":"1","i":1,"a":"x","z":[2]}', '{"id":"2","i":1,"a":"x","z":[2]}')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"id":"3","i":1,"a":"y","z":[2]}', "y"),
        ('{"id":"","i":1,"a":"y","z":[2]}', "y"),
        ('{"id":"2","i":1,"a":"y","z":[2]}', "y"),
        ('{"id":"\\"a\\":\\"","i":1,"a":"y","z":[2]}', "y"),
        ('{"id":"3","i":2,"a":"y","z":[2]}', None),
        ('{"id":"3","i":1,"a":"y","z":[3]}', None),
        ('{"id":3,"i":1,"a":"y","z":[2]}', None),
        ('{"id":"3,"i":1,"a":"y","z":[2]}', None),
        ('{"i":1,"id":"3","a":"y","z":[2]}', None),
        ('{"i":1,"a":"y","z":[2]}', None),
    ],
)
def test_a_stamp(text: str, expected: str | None) -> None:
    """Where two events differ in their stamps alone, those of later ones may be any string; all else may not differ."""
    assert expected == learnt(*STAMPED).read(text)


@pytest.mark.parametrize(
    "form",
    [
        '{{"n":{{"id":"{0}"}},"a":"x"}}',  # another one's
        '{{"a":"x","id":"{0}"}}',  # behind the text
        '{{"id":{0},"a":"x"}}',  # no string
        '{{"id":"{0}","id":"1","a":"x"}}',  # of two the last counts
        '{{"ID":"{0}","a":"x"}}',
    ],
)
def test_what_is_no_stamp(form: str) -> None:
    """Where anything else differs, nothing is read."""
    assert None is learnt(*map(form.format, range(3))).read(form.format(4))


def test_a_stamp_may_stop_to_differ() -> None:
    """Events with one stamp are read by the stencil for many, and stencils are cut anew as events change their form."""
    stencil = learnt(*STAMPED)
    read = [stencil.read(ONE), stencil.read(STAMPED[0])]
    for text in (ONE, TWO):
        stencil.learn(text, json.loads(text))

    assert [None, "x"] == read
    assert ["x", None] == [stencil.read(ONE), stencil.read(STAMPED[0])]


def test_a_stamp_that_json_refuses() -> None:
    """What another parser let pass gives no stencil and no error."""
    stencil = Stencil(plain, stamp="id")
    for text in ('{"id":"\n1","a":"x"}', '{"id":"\n2","a":"x"}', '{"id":"\n3","a":"x"}'):
        stencil.learn(text, {"id": "1", "a": "x"})

        assert None is stencil.read(text)


def test_which_field_was_read() -> None:
    """The stencil knows whose text it gives, and goes over to another when the events do."""
    stencil = learnt('{"b":"1"}', '{"b":"2"}')
    before = (stencil.field, stencil.read('{"b":"3"}'))
    for text in ('{"a":"4"}', '{"a":"5"}'):
        stencil.learn(text, json.loads(text))

    assert (("b", "3"), ("a", "6"), None) == (
        before,
        (stencil.field, stencil.read('{"a":"6"}')),
        stencil.read('{"b":"7"}'),
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"n":{"a":"no"},"a":"x"}',  # the first string of that name is another one
        '{"a":"no","a":"x"}',  # of two the last counts
        '{"\\u0061":"x"}',  # the name is written otherwise
        '{\n"\\u0061":"x"}',  # so is this one, and no string may begin where the text does
    ],
)
def test_texts_whose_hole_is_not_where_it_seems(text: str) -> None:
    """A stencil that would read another string than the parser is not cut."""
    assert None is learnt(text, text, text).read(text)


def test_what_is_not_plain_is_not_learnt() -> None:
    """An event with other news is left alone, and a stencil stays as it was."""
    stencil = learnt(ONE, TWO, '{"a":"x","b":"y"}', '{"a":"x","b":"y"}')

    assert (None, "y") == (stencil.read('{"a":"x","b":"y"}'), stencil.read('{"i":1,"a":"y","z":[2]}'))


@pytest.mark.parametrize("form", ['{{"i":{0},"a":"x"}}', '{{"a":"x","i":{0}}}'])
def test_events_that_are_never_alike_are_looked_at_ever_less(form: str) -> None:
    """Looking costs, so it is given up by and by where events differ; nothing is read of them."""
    looked: list[Any] = []

    def look(value: Any) -> tuple[str, str] | None:
        looked.append(value)
        return plain(value)

    stencil = Stencil(look)
    for number in range(1000):
        text = form.format(number)
        assert None is stencil.read(text)
        stencil.learn(text, json.loads(text))

    assert len(looked) < 50


def test_after_a_pause_it_is_learnt_all_the_same() -> None:
    """Events that become alike late are found alike."""
    stencil = learnt(*(f'{{"i":{number},"a":"x"}}' for number in range(100)), *[ONE] * 200)

    assert "yy" == stencil.read(TWO)


def test_what_is_forgotten_is_not_read() -> None:
    """After `forget` nothing is read until two events were alike again."""
    stencil = learnt(ONE, TWO)
    stencil.forget()
    forgotten = [stencil.field, stencil.read(ONE)]
    for text in (ONE, TWO):
        forgotten.append(stencil.read(text))
        stencil.learn(text, json.loads(text))

    assert ["", None, None, None] == forgotten
    assert "yy" == stencil.read(TWO)


def test_what_changes_all_the_time_is_looked_at_ever_less() -> None:
    """Where each event makes the one before forgotten, learning is given up by and by."""
    looked: list[Any] = []

    def look(value: Any) -> tuple[str, str] | None:
        looked.append(value)
        return plain(value)

    stencil = Stencil(look)
    for number in range(1000):
        text = f'{{"a":"x","i":{number}}}'
        assert None is stencil.read(text)
        stencil.forget()
        stencil.learn(text, json.loads(text))

    assert len(looked) < 50


def test_numbers_that_json_refuses() -> None:
    """A number that another parser let pass, and json does not, gives no stencil and no error."""
    stencil = Stencil(plain)
    text = '{"a":"x","n":' + "1" * 5000 + "}"
    for _ in range(3):
        stencil.learn(text, {"a": "x", "n": 1})

    assert None is stencil.read(text)


_PIECES = st.text(st.sampled_from('ab"\\{}:,é\ud83d\n'), max_size=5)


@PROPERTY
@given(
    st.lists(
        st.fixed_dictionaries(
            {}, optional={"id": _PIECES, "i": st.integers(0, 1), "a": _PIECES, "b": _PIECES, "pad": _PIECES}
        ),
        max_size=15,
    )
)
def test_reading_is_parsing(events: list[dict[str, Any]]) -> None:
    """Whatever came before, what is read of an event is what is parsed of it."""
    stencil = Stencil(plain, stamp="id", padding=("pad",))
    for event in events:
        text = json.dumps(event)
        read = stencil.read(text)

        assert read is None or (stencil.field, read) == plain(event)
        if read is None:
            stencil.learn(text, event)


def test_learning_says_whether_it_was_cut() -> None:
    """From the second of two events that are alike on; an event that is not plain cuts nothing."""
    stencil = Stencil(lambda value: ("text", value["text"]) if "text" in value else None)
    learnt = [stencil.learn(json.dumps(value), value) for value in ({"text": "a"}, {"text": "b"}, {"other": 1})]

    assert [False, True, False] == learnt
