"""Seams: what a continuation says once more is left out, and nothing else is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.loops.seam import Prefilled, Repeats, Seam

TEXT = (
    'The quick brown fox jumps over the lazy dog. It was not amused, and said so: "Never again," it barked.\n\n'
    "Then it slept.\n  And dreamt of foxes, of which it caught 2024 before dawn; a record!  Indeed, über alles, 🎉 so."
)
RHYTHMS = (
    "ha ha ha ha ha, he said. Ha! really really really, location, location, location. again and again and again and "
    "again. step by step by step. hahaha hahaha no, no, no. 1000100010001 3.333333 bye-bye bye bye. | a | a | a | a |\n"
    "| - | - | - | - |\n| - | - | - | - |\nlet it be, let it be, let it be, oh, let it be. datetime.datetime.now()"
)
SIZES = (1, 3, 10, 1000)
"""Characters of a delta."""


def joined(seam: Seam, before: str, rest: str, size: int = 3) -> str:
    """The text on both sides of a seam, the second coming in deltas of this size."""
    for at in range(0, len(rest), size):
        removed = seam.feed(rest[at : at + size])
        if removed is not None:
            return before + rest[removed:]
    return before + rest[seam.end() :]


def resumed(before: str, rest: str, size: int = 3) -> str:
    """The same of an answer that the model was asked to go on with."""
    return joined(Repeats(before), before, rest, size)


def ends_a_word(cut: int) -> bool:
    """Whether a text is cut right behind a word of it."""
    return bool(re.fullmatch(r"\w(\W.*|)", TEXT[cut - 1 :], re.DOTALL))


CUTS = range(len(TEXT) + 1)


@pytest.mark.parametrize("text", [TEXT, RHYTHMS])
@pytest.mark.parametrize("size", SIZES)
def test_what_goes_on_exactly_stays_whole(text: str, size: int) -> None:
    """Cut anywhere, and gone on with exactly, it is the same text, however much it repeats itself."""
    cuts = range(len(text) + 1)

    assert [text] * len(cuts) == [resumed(text[:cut], text[cut:], size) for cut in cuts]


@pytest.mark.parametrize("size", SIZES)
def test_all_said_again_is_left_out(size: int) -> None:
    """An answer that begins from the beginning goes on where it was cut, once three words of it were there."""
    cuts = [cut for cut in CUTS if cut >= len("The quick brown") or ends_a_word(cut)]

    assert [TEXT] * len(cuts) == [resumed(TEXT[:cut], TEXT, size) for cut in cuts]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("words", [1, 2, 3, 5])
def test_words_said_again_behind_a_word_are_left_out(words: int, size: int) -> None:
    """Where they would be glued to the word that stands there, as in "foxfox", any number of words is."""
    behind = [cut for cut in CUTS if cut and ends_a_word(cut)]
    starts = {cut: [m.start() for m in re.finditer(r"\b\w", TEXT[:cut])] for cut in behind}
    cuts = [
        cut for cut in behind if len(starts[cut]) >= words and re.search(r"[^\W\d]{3}", TEXT[starts[cut][-1] : cut])
    ]

    assert len(cuts) > 20
    assert [TEXT] * len(cuts) == [resumed(TEXT[:cut], TEXT[starts[cut][-words] :], size) for cut in cuts]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("length", [20, 21, 30, 60])
def test_characters_said_again_are_left_out(length: int, size: int) -> None:
    """Twenty of them, wherever they begin and whatever stands at the cut."""
    cuts = [cut for cut in CUTS if cut >= length]

    assert [TEXT] * len(cuts) == [resumed(TEXT[:cut], TEXT[cut - length :], size) for cut in cuts]


SPACED: dict[str, Callable[[str], str]] = {
    "newlines": lambda text: re.sub(r"\s+", "\n", text),
    "double": lambda text: re.sub(r"\s+", "  ", text),
    "before": lambda text: f"\n\n{text}",
}


@pytest.mark.parametrize("how", SPACED)
@pytest.mark.parametrize("size", SIZES)
def test_other_white_space_is_the_same_repetition(how: str, size: int) -> None:
    """What was said is recognised with other white space in it, or before it; new white space stays as it is."""
    cuts = [cut for cut in CUTS if cut >= 25]
    texts = [resumed(TEXT[:cut], SPACED[how](TEXT[cut - 25 : cut].lstrip()) + TEXT[cut:], size) for cut in cuts]
    blank = [not TEXT[cut - 1 : cut].strip() or not TEXT[cut : cut + 1].strip() for cut in cuts]

    assert [TEXT for b in blank if not b] == [text for text, b in zip(texts, blank, strict=True) if not b]
    assert {"".join(TEXT.split())} == {"".join(text.split()) for text in texts}


@pytest.mark.parametrize("added", [" ", "\n", "\n\n", " \n"])
def test_white_space_alone_is_never_taken_for_a_repetition(added: str) -> None:
    """What an answer adds at the seam stays: it might as well be new. Nothing is lost."""
    cuts = [cut for cut in CUTS if TEXT[cut : cut + 1].strip() and TEXT[cut - 1 : cut].strip()]

    assert [TEXT[:cut] + added + TEXT[cut:] for cut in cuts] == [
        resumed(TEXT[:cut], added + TEXT[cut:]) for cut in cuts
    ]


@pytest.mark.parametrize(
    ("before", "rest", "text"),
    [
        ("The quick brown fox", "fox jumps", "The quick brown fox jumps"),
        ("The quick brown fox", "brown fox jumps", "The quick brown fox jumps"),
        ("Hello wor", "world", "Hello world"),
        ("Hello, ", "Hello, world", "Hello, Hello, world"),  # might be meant
        ("Hello,", "Hello, world", "Hello, world"),
        ("There was a stream.", " a stream. It", "There was a stream. It"),
        ("There was a stream. ", "a stream. It", "There was a stream. It"),
        ("Apples, nuts, etc.", " etc. And", "Apples, nuts, etc. etc. And"),
        ("He said no, wait...", " no, wait... And", "He said no, wait... no, wait... And"),
        ("He left. He ran.", " He ran. And", "He left. He ran. He ran. And"),
        ("so it is. it is.", " it is. it is.", "so it is. it is. it is. it is."),
        ("faster and ", "faster and faster", "faster and faster and faster"),
        ("ha", " ha ha", "ha ha ha"),
        ("ha ", "ha ha", "ha ha ha"),
        ("haha", "haha", "hahahaha"),
        ("3.33", "33", "3.3333"),
        ("in 1000", "1000", "in 10001000"),
        ("a\n", "\nb", "a\n\nb"),
        ("so it goes on ", "so it goes on and on", "so it goes on and on"),
        ("so it goes on\n", "so it goes on\n\nEnd", "so it goes on\n\nEnd"),
        ("so it goes on  ", "so it goes on and on", "so it goes on  and on"),
        ("so it goes on ", "so it goes ones", "so it goes on so it goes ones"),
        ("so it goes on ", "so it goes on", "so it goes on "),
        ("今天天气很好我们一起去公园散步吧然后回家吃饭", "我们一起去公园散步吧然后回家吃饭休息一下再去公园散步", None),
    ],
)
@pytest.mark.parametrize("size", SIZES)
def test_cases(before: str, rest: str, text: str | None, size: int) -> None:
    """What is left out, and what stays as it might be meant; None where all stays."""
    assert (before + rest if text is None else text) == resumed(before, rest, size)


@given(st.text("ab .\n", max_size=12), st.lists(st.text("ab .\n", min_size=1, max_size=3)))
def test_whatever_comes_the_end_of_it_stays(before: str, pieces: list[str]) -> None:
    """A seam gives a number of characters, once, that all are repeated but for white space."""
    seam, fed = Repeats(before), ""
    for piece in pieces:
        fed += piece
        removed = seam.feed(piece)
        if removed is not None:
            break
    else:
        removed = seam.end()

    assert 0 <= removed <= len(fed)
    assert "".join(before.split()).endswith("".join(fed[:removed].split()))


def test_what_is_no_repetition_is_let_go_at_once() -> None:
    """A first word that stands nowhere in the text is new, and so is one where too little would follow it."""
    assert 0 == Repeats("The quick brown fox jumps over").feed(" a")
    assert 0 == Repeats("The quick brown fox").feed(" fox")
    assert 0 == Repeats("").feed(" ")


def test_a_repetition_is_held_back_no_longer_than_it_lasts() -> None:
    """The word that differs decides; what was held back is then new."""
    seam = Repeats("The quick brown fox jumps over the lazy dog")

    assert [None, None, None, 0] == [seam.feed(piece) for piece in (" ", "quick", " brown", " ale")]


def test_a_repetition_far_back_is_not_looked_for() -> None:
    """One may begin in the last 4000 characters, or with the text itself."""
    text = " ".join(f"word{n}" for n in range(2000))
    middle = text[5000:]

    assert text + " end" == resumed(text, text + " end", 50)
    assert text + middle == resumed(text, middle, 50)


@pytest.mark.parametrize("rhythm", ["ha ", "a", "a b c d ", "a\n"])
@pytest.mark.parametrize("end", ["", "  \n"])
def test_a_rhythm_costs_linear_time(rhythm: str, end: str) -> None:
    """A model that says one thing again and again is no burden: it may have begun a repetition anywhere."""
    text = rhythm * (4000 // len(rhythm)) + end
    began = time.perf_counter()

    assert text + text == resumed(text, text, len(rhythm))
    assert time.perf_counter() - began < 1.0  # 0.02 s here; to look at each place anew takes 2 to 7


def test_it_costs_linear_time() -> None:
    """A long answer that is said again from its beginning takes no longer than reading it."""
    text = " ".join(f"{n} sheep" for n in range(20_000))
    began = time.perf_counter()

    assert text + " end" == resumed(text, text + " end", 4)
    assert time.perf_counter() - began < 2.0  # 0.1 s here; a comparison of all that came with each delta takes 20


# -- prefilled


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("text", [TEXT, RHYTHMS])
def test_a_prefilled_answer_goes_on_exactly(text: str, again: bool, size: int) -> None:
    """From what was sent without the white space at its end, whether the provider says that again or not."""
    for cut in range(1, len(text) + 1):
        sent = text[:cut].rstrip()
        seam = Prefilled(sent if again else "", text[len(sent) : cut])

        assert text == joined(seam, text[:cut], text if again else text[len(sent) :], size)


@pytest.mark.parametrize(
    ("sent", "blank", "rest", "new"),
    [
        ("", "", "Hello", "Hello"),
        ("", " ", "world", "world"),
        ("", " ", "\nworld", "\nworld"),
        ("", "\n\n", "\nworld", "world"),
        ("", "\n", "\n\nworld", "\nworld"),
        ("", " ", " ", ""),
        ("ha", "", "ha ha", " ha"),
        ("Hello", " ", "Help", "Help"),
        ("Hello", "", "Hel", "Hel"),
    ],
)
@pytest.mark.parametrize("size", SIZES)
def test_prefilled_cases(sent: str, blank: str, rest: str, new: str, size: int) -> None:
    """All that was sent is left out or nothing of it; of white space as much as comes again."""
    assert new == joined(Prefilled(sent, blank), "", rest, size)
