"""What a docstring says: its summary, and of each parameter, in the Google, NumPy and Sphinx manners."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterator

__all__ = ["parse_docstring"]

_PARAMETERS = {"args", "arguments", "parameters", "params", "attributes", "keyword args", "keyword arguments",
               "other parameters"}  # fmt: skip
_SECTIONS = _PARAMETERS | {"example", "examples", "note", "notes", "raises", "receives", "references", "return",
                           "returns", "see also", "todo", "warning", "warnings", "warns", "yield",
                           "yields"}  # fmt: skip
_RULE = re.compile(r"-{3,}|={3,}")
_FIELD = re.compile(r":\w[^:]*:(?:\s|$)")
_SPHINX = re.compile(
    r":(?:param|parameter|arg|argument|key|keyword|ivar)\s+(?:[^:]*?\s)?(?:\\?\*){0,2}(\w+):\s*(.*)", re.DOTALL
)
_GOOGLE = re.compile(r"(?:\\?\*){0,2}(\w+)\s*(?:\(.*?\))?\s*:(?:\s+(.*))?$")
_NUMPY = re.compile(r"((?:\\?\*){0,2}\w+(?:\s*,\s*(?:\\?\*){0,2}\w+)*)\s*(?::.*)?$")


def parse_docstring(text: str | None) -> tuple[str, dict[str, str]]:
    """Give what stands before the first section, on lines as they are, and the text of each parameter."""
    lines = inspect.cleandoc(text).splitlines() if text else []
    heads = [i for i in range(len(lines)) if _is_head(lines, i)]
    summary = "\n".join(lines[: heads[0]] if heads else lines).strip()
    said: dict[str, str] = {}
    for begin, end in itertools.pairwise([*heads, len(lines)]):
        said |= dict(_entries(lines[begin:end]))
    return summary, {name: words for name, words in said.items() if words}


def _is_head(lines: list[str], i: int) -> bool:
    """Whether a section begins at a line: a known word and a colon, anything underlined, or a field of Sphinx."""
    line = lines[i]
    if not line or line[0].isspace():
        return False
    if _FIELD.match(line) or (line.endswith(":") and line[:-1].lower() in _SECTIONS):
        return True
    return i + 1 < len(lines) and _RULE.fullmatch(lines[i + 1].rstrip()) is not None


def _entries(section: list[str]) -> Iterator[tuple[str, str]]:
    """Give names and texts of a section of parameters; nothing of another one."""
    title, body = section[0], section[1:]
    if title.startswith(":"):
        field = _SPHINX.match(" ".join([title, *_indented(body)]))
        if field is not None:
            yield field[1], _one_line(field[2])
    elif title.rstrip(":").strip().lower() in _PARAMETERS:
        underlined = bool(body) and _RULE.fullmatch(body[0].rstrip()) is not None
        yield from _listed(body[1:], _NUMPY) if underlined else _listed(_indented(body), _GOOGLE)


def _indented(body: list[str]) -> list[str]:
    """The lines up to the first that is not indented."""
    ends = (i for i, line in enumerate(body) if line and not line[0].isspace())
    return body[: next(ends, len(body))]


def _listed(body: list[str], entry: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Entries begin at the section's own indent; what is further in belongs to the entry before."""
    lines = [line for line in body if line.strip()]
    margin = min(map(_indent, lines), default=0)
    names: list[str] = []
    words: list[str] = []
    for line in lines:
        begins = entry.match(line.strip()) if _indent(line) == margin else None
        if begins is None:
            words.append(line)
            continue
        yield from ((name, _one_line(" ".join(words))) for name in names)
        names = [name.strip("\\* ") for name in begins[1].split(",")]
        words = [begins[2] or ""] if entry is _GOOGLE else []
    yield from ((name, _one_line(" ".join(words))) for name in names)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _one_line(text: str) -> str:
    return " ".join(text.split())
