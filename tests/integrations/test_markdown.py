"""Markdown, block by block: what may be printed for good, and that nothing is left out."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rich", reason="needs rich")

from rich.console import Console, RenderableType
from rich.markdown import Markdown

from streamkit.integrations.markdown import Block, Bottom, split, window

SOURCE = """\
# Title

A paragraph
of two lines.

- one
- two

  with a paragraph

1. first
2. second

> quoted
> text

***

```python
def f():

    return 1
```

| a | b |
|---|---|
| 1 | 2 |

Setext
======
    not code
- a list

      code in it

The end
"""


def plain(content: RenderableType, width: int = 40, height: int = 24) -> str:
    """What is drawn, without colours and blank ends."""
    file = io.StringIO()
    Console(file=file, width=width, height=height).print(content)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def block(source: str, width: int = 40) -> str:
    """What a block is drawn as."""
    return plain(Block(source, Console(file=io.StringIO(), width=width)), width)


# -- where blocks end


def test_blocks_are_those_of_the_whole() -> None:
    """Each piece is a block of its own, and together they are all of the source."""
    pieces, rest = split(SOURCE, ended=True)

    assert [
        "# Title",
        "A paragraph\nof two lines.",
        "- one\n- two\n\n  with a paragraph",
        "1. first\n2. second",
        "> quoted\n> text",
        "***",
        "```python\ndef f():\n\n    return 1\n```",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "Setext\n======",
        "    not code",
        "- a list\n\n      code in it",
        "The end",
    ] == [piece.rstrip("\n") for piece in pieces]
    assert "" == rest


@pytest.mark.parametrize("step", [1, 2, 3, 7, 50])
def test_what_is_done_stays_as_it_was(step: int) -> None:
    """However the text comes, the blocks are those that the whole has: none is taken for done too early."""
    pieces: list[str] = []
    rest = ""
    for at in range(0, len(SOURCE), step):
        done, rest = split(rest + SOURCE[at : at + step])
        pieces += done
    pieces += split(rest, ended=True)[0]

    assert [piece.strip("\n") for piece in split(SOURCE, ended=True)[0]] == [piece.strip("\n") for piece in pieces]


@pytest.mark.parametrize(
    "source",
    [
        "",
        "\n\n",
        "a paragraph",
        "a paragraph\n",
        "a paragraph\n\n",
        "a paragraph\n-",
        "a paragraph\n#",
        "```\ncode\n\nmore\n",
        "- a\n\n- b\n",
        "| a |\n|---|\n| b |\n",
        "[name]: http://example.com\n",
    ],
)
def test_the_last_block_may_still_change(source: str) -> None:
    """So it is none of those that are done."""
    assert ([], source) == split(source)


def test_definitions_of_links_are_pieces() -> None:
    """They are no blocks, but text that came."""
    assert (["[a]: /b\n", "text", "[c]: /d"], "") == (
        [
            piece.replace("\n", "") + "\n" * (not n)
            for n, piece in enumerate(split("[a]: /b\n\ntext\n\n[c]: /d", ended=True)[0])
        ],
        "",
    )


SIGNS = "# ^- ^1. ^> ^\n^\n\n^```^```py\n^word ^*^`^[x](http://u.v)^<b>^<div>\n^|^|---|---|\n^| a | b |\n^    ^---\n"
PARTS = st.sampled_from([*SIGNS.split("^"), "[r]: /url\n", "[r]", "&amp;", "===\n", "\u6f22", "long" * 20])


@given(parts=st.lists(PARTS, max_size=30), ended=st.booleans())
def test_no_line_is_lost_between_pieces(parts: list[str], ended: bool) -> None:
    """All that is not blank is in a piece or in the rest, in order."""
    source = "".join(parts)
    pieces, rest = split(source, ended=ended)

    assert source.split() == "\n".join([*pieces, rest]).split()


@given(parts=st.lists(PARTS, max_size=30), width=st.sampled_from([10, 40, 80]))
def test_no_letter_is_lost_in_drawing(parts: list[str], width: int) -> None:
    """Of any text, each letter is drawn, but for the language of code."""
    source = "".join(parts).replace("```py", "```")
    shown = "".join(block(piece, width) for piece in split(source, ended=True)[0])
    info = {c for line in source.splitlines() if "```" in line for c in line}

    assert {c for c in source if c.isalpha()} - info <= set(shown)
    for c in {c for c in source if c.isalpha()} - info:
        assert source.count(c) <= shown.count(c)


# -- what a block looks like


@pytest.mark.parametrize(
    ("source", "drawn"),
    [
        ("A *word* and `code`.", "A word and code."),
        ("[text](http://example.com/a)", "text (http://example.com/a)"),
        ("use vector<int> here", "use vector<int> here"),
        ("- one\n- two", " • one\n • two"),
        ("> quoted", "▌ quoted"),
        ("```python\nx = 1\n```", "\n x = 1\n"),
    ],
)
def test_a_block_is_drawn_as_markdown(source: str, drawn: str) -> None:
    """Addresses and tags are written out."""
    assert drawn.rstrip("\n") == block(source).rstrip("\n")


def test_tables_and_rules_are_drawn() -> None:
    """With lines that differ from one version of rich to the next."""
    table, rule = block("| a |\n|---|\n| x<br>y |"), block("***").strip()

    assert "x<br>y" in table
    assert "|" not in table
    assert (40, 1) == (len(rule), len(set(rule)))


@pytest.mark.parametrize(
    "source",
    [
        "<div>text</div>",
        "![alt](http://example.com/a.png)",
        "[name]: http://example.com",
        "| a |\n|---|\n| b | beyond |",
        "fish &nbsp; chips",
        "```what comes here is no language\ncode\n```",
    ],
)
def test_what_would_be_left_out_is_shown_as_it_is(source: str) -> None:
    """Markdown would not show some of these letters."""
    assert source == block(source)


@pytest.mark.parametrize("source", ["> ", "", "-"])
def test_what_has_nothing_to_show_is_drawn(source: str) -> None:
    """Without an error."""
    assert "" == block(source).strip(" •▌\n")


def test_a_rule_tells_that_it_is_one() -> None:
    """It has its own distance from what follows."""
    console = Console(file=io.StringIO())

    assert [True, False] == [Block(source, console).is_rule for source in ("***", "text")]


# -- what may still change


def test_a_short_end_is_drawn_whole() -> None:
    """As the Markdown that it is."""
    assert plain(Markdown("*a* b")) == plain(window("*a* b", 100))


def test_a_long_end_is_cut_at_a_line() -> None:
    """Its beginning is not drawn; it is above the screen."""
    source = "".join(f"- item {n}\n" for n in range(100))
    shown = plain(window(source, 50)).split()

    assert "99" == shown[-1]
    assert "95" not in "".join(shown[:1])
    assert 8 < len(plain(window(source, 50)).replace(" ", "")) < 80


def test_a_long_line_is_cut_anywhere() -> None:
    """One without a line feed."""
    assert "x" * 50 == plain(window("y" * 100 + "x" * 50, 50), 80)


@pytest.mark.parametrize(
    ("before", "is_code"),
    [
        ("```python\n", True),
        ("~~~\n```\n", True),
        ("```\ncode\n```\n", False),
        ("````\n```\n", True),
        ("``` a`b\n", False),
        ("text\n", False),
    ],
)
def test_cut_code_stays_code(before: str, is_code: bool) -> None:
    """Where the cut is in a piece of code, the rest of it is drawn as code."""
    shown = plain(window(before + "*x* y\n" * 50, 60))

    assert is_code == ("*x*" in shown)


def test_the_bottom_is_what_fits() -> None:
    """The last rows, in order."""
    assert "3\n4" == plain(Bottom(Markdown("0\n\n1\n\n2\n\n3\n4".replace("3\n4", "3  \n4")), 2))
    assert "" == plain(Bottom(Markdown("text"), 0))
