"""Docstrings: what three manners of writing them say of parameters."""

from __future__ import annotations

import pytest

from streamkit.docstrings import parse_docstring

GOOGLE = """Get the weather.

    For a city, now or later. One of:
      - today
      - tomorrow

    Args:
        city (str, optional): The city,
            such as Paris.

        days (dict(str, tuple(int))): how many: 1 to 5
        **options: the rest
        unit:
            C or F

    Returns:
        x: the text
    Raises:
        ValueError: never
    """

NUMPY = """Get the weather.

    For a city, now or later. One of:
      - today
      - tomorrow

    Parameters
    ----------
    city : str, optional
        The city,
        such as Paris.

    days : {1, 2, 5}
        how many: 1 to 5
    **options
        the rest
    unit, other : str
        C or F

    Returns
    -------
    str
        the text
    """

SPHINX = """Get the weather.

    For a city, now or later. One of:
      - today
      - tomorrow

    :param city: The city,
        such as Paris.
    :param int | None days: how many: 1 to 5
    :param \\*\\*options: the rest
    :parameter unit:
        C or F
    :type unit: str
    :returns: the text
    :raises ValueError: never
    """

SUMMARY = "Get the weather.\n\nFor a city, now or later. One of:\n  - today\n  - tomorrow"
TEXTS = {"city": "The city, such as Paris.", "days": "how many: 1 to 5", "options": "the rest", "unit": "C or F"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [(GOOGLE, TEXTS), (NUMPY, {**TEXTS, "other": "C or F"}), (SPHINX, TEXTS)],
    ids=["google", "numpy", "sphinx"],
)
def test_the_three_manners(text: str, expected: dict[str, str]) -> None:
    """Each gives the summary without its sections, and the parameters' texts on one line, of nothing else."""
    assert (SUMMARY, expected) == parse_docstring(text)


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        (None, ""),
        ("", ""),
        ("One line: that is it.", "One line: that is it."),
        ("It gives one of:\n- a\n- b", "It gives one of:\n- a\n- b"),
        ("Ask.\n\nExample:\n    ask()", "Ask."),
        ("Ask.\n\nNotes\n-----\nx : y\n    z", "Ask."),
        ("Ask.\n\nArgs:", "Ask."),
        ("Ask.\n\n:returns: it", "Ask."),
        (":py:func:`f` again: it asks.", ":py:func:`f` again: it asks."),
    ],
)
def test_what_says_nothing_of_parameters(text: str | None, summary: str) -> None:
    """Without a section of parameters there is a summary only, up to the first section of any kind."""
    assert (summary, {}) == parse_docstring(text)


def test_several_sections() -> None:
    """Sections of parameters add up, wherever they stand; prose after them belongs to none."""
    text = """Do.

    Args:
        a: one
    More prose.

    Keyword Args:
        b: two
    """

    assert ("Do.", {"a": "one", "b": "two"}) == parse_docstring(text)


def test_a_parameter_without_a_text() -> None:
    """It is not there, rather than empty."""
    assert {"b": "two"} == parse_docstring("Do.\n\nArgs:\n    a:\n    b: two")[1]


def test_what_is_further_in_belongs_to_the_entry() -> None:
    """A line with a colon begins an entry only at the section's own indent."""
    text = "Do.\n\nArgs:\n    a: one of\n        x: the first\n        y: the second"

    assert {"a": "one of x: the first y: the second"} == parse_docstring(text)[1]
