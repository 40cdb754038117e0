"""Texts are cut between what a reader takes for characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import ConfigError, truncate
from streamkit.graphemes import is_boundary

CLUSTERS = {
    "accent": "e\u0301",
    "several marks": "a\u0323\u0302\u0301",
    "line break": "\r\n",
    "emoji as a picture": "\u2764\ufe0f",
    "keycap": "1\ufe0f\u20e3",
    "skin tone": "\U0001f44d\U0001f3fd",
    "family": "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "profession with a skin tone": "\U0001f469\U0001f3fd\u200d\U0001f4bb",
    "heart on fire": "\u2764\ufe0f\u200d\U0001f525",
    "country": "\U0001f1e9\U0001f1ea",
    "part of a country": "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "Hangul in letters": "\u1112\u1161\u11ab",
    "Hangul with one more letter": "\ud558\u11ab",
    "old Hangul": "\ua960\u1160\ud7cb",
    "Devanagari conjunct": "\u0915\u094d\u0937\u093f",
    "conjunct with a joiner": "\u0915\u094d\u200d\u0937",
    "Thai vowel": "\u0e01\u0e33",
    "vowel sign": "\u0b95\u0bcb",
    "number sign": "\u0600\u06f1",
    "half-width mark": "\uff76\uff9e",
}


@pytest.mark.parametrize("cluster", CLUSTERS.values(), ids=CLUSTERS)
def test_a_cluster_is_never_split(cluster: str) -> None:
    """Cut in the middle of it, the text loses all of it; cut behind it, nothing."""
    text = f"ab{cluster}cd"
    cuts = [truncate(text, length) for length in range(len(text))]
    inside = ["ab..."] * len(cluster)

    assert ["...", "a...", *inside, f"ab{cluster}...", f"ab{cluster}c..."] == cuts


APART = {
    "letters": "ab",
    "flags": "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7",
    "syllables": "\ud55c\uae00",
    "a whole syllable and a vowel": "\ud55c\u1161",
    "line breaks": "\n\r",
    "emoji": "\U0001f469\U0001f467",
    "a joiner and a letter": "a\u200db",
    "ideographs": "\u6f22\u5b57",
    "a virama in no script of its kind": "a\u094db",
    "a line feed and a mark": "\n\u0301",
}


@pytest.mark.parametrize("text", APART.values(), ids=APART)
def test_others_may_be_cut(text: str) -> None:
    """Between two clusters, and on both sides of a control character, there is a place to cut."""
    assert any(is_boundary(text, at) for at in range(1, len(text)))


def test_flags_are_counted_in_pairs() -> None:
    """Four letters are two flags, three are one and a letter, wherever the cut is."""
    text = "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7\U0001f1ee"

    assert [0, 2, 4, 5] == [at for at in range(6) if is_boundary(text, at)]


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [
        ("", 0, ""),
        ("abc", 3, "abc"),
        ("abc", 4, "abc"),
        ("abc", 2, "ab..."),
        ("abc", 0, "..."),
        ("e\u0301", 1, "..."),
        ("\u00e9\u00e8", 1, "\u00e9..."),
    ],
)
def test_what_is_short_enough_stays(text: str, length: int, expected: str) -> None:
    """A text of at most so many characters is given as it is; a longer one loses its end for three dots."""
    assert expected == truncate(text, length)


def test_a_negative_length_is_refused() -> None:
    """It would cut at the other end."""
    with pytest.raises(ConfigError, match="0 or more"):
        truncate("abc", -1)


@given(text=st.text(st.sampled_from("ae\u0301\u200d\ufe0f\U0001f469\U0001f3fd\U0001f1e9\u1112\u1161\r\n\u0915\u094d ")))
def test_any_text_in_any_length(text: str) -> None:
    """It gives a beginning of the text, no longer than asked for, that ends where a cut is allowed."""
    for length in range(len(text)):
        kept = truncate(text, length).removesuffix("...")

        assert text.startswith(kept)
        assert len(kept) <= length
        assert is_boundary(text, len(kept))


def test_many_marks_take_little_time() -> None:
    """A letter with a hundred thousand accents is looked at once."""
    text = "a" + "\u0301" * 100_000 + "b"

    assert "..." == truncate(text, 99_999)
    assert text[:-1] + "..." == truncate(text, 100_001)
