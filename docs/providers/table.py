"""Writes the tables of docs/providers/README.md from the code: `python docs/providers/table.py`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streamkit import providers
from streamkit.codec import Capabilities

PAGE = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"

APIS = {
    "openai_chat": "chat completions",
    "openai_responses": "Responses",
    "anthropic": "Anthropic's Messages",
    "gemini": "generateContent",
    "cohere": "Cohere's v2 chat",
    "ollama": "Ollama's chat",
}
"""What an API is called, by the module that speaks it."""

FLAGS = {
    "tools": "tools",
    "required_tool": "tool required",
    "named_tool": "tool by name",
    "parallel_tool_calls": "one call only",
    "tool_result_images": "images in results",
    "images": "images",
    "image_urls": "image URLs",
    "files": "files",
    "thinking": "thinking",
    "thinking_budget": "budget",
    "reasoning_effort": "effort",
    "json": "JSON",
    "json_schema": "schema",
    "prompt_caching": "caching",
    "prefill": "prefill",
    "seed": "seed",
    "stop": "stop",
    "top_k": "top_k",
    "penalties": "penalties",
    "logprobs": "logprobs",
}
"""What the columns of the second table are called, by the flags of `Capabilities`."""

NEEDS = {
    "required_tool": "tools",
    "named_tool": "tools",
    "parallel_tool_calls": "tools",
    "tool_result_images": "tools",
    "image_urls": "images",
}
"""Flags that mean nothing without another."""


def page() -> str:
    """Give the page with its tables as the code has them."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{rest.partition(END)[2]}"


def tables() -> str:
    """Give both tables: whom one can call, and what they can do."""
    rows = [(name, _made(name)) for name in providers.names(others=False)]
    return "\n".join(
        [
            *_table(["name", "class", "API", "key", "address"], (_facts(name, row) for name, row in rows)),
            "",
            *_table(["name", *FLAGS.values()], ([f"`{name}`", *_abilities(row.capabilities)] for name, row in rows)),
            "",
        ]
    )


def _made(name: str) -> Any:
    """A provider as far as its class makes it: without key and address, which nobody here has."""
    found: Any = providers.find(name)
    return object.__new__(found)


def _facts(name: str, row: Any) -> list[str]:
    variables = getattr(row, "key_variables", ())
    optional = "" if getattr(row, "needs_key", bool(variables)) else " (may be missing)"
    return [
        f"`{name}`",
        f"`{type(row).__name__}`",
        APIS[_module(row)],
        ", ".join(f"`{variable}`" for variable in variables) + optional if variables else "none",
        _address(row),
    ]


def _address(row: Any) -> str:
    """The variable that may hold it, its own one, and the variables of what stands in braces in that."""
    own = getattr(row, "default_base_url", "")
    if not own:
        return "this process starts it"
    first = f"`{row.base_url_variable}`, else " if row.base_url_variable else ""
    parts = ", ".join(f"{part}: `{variable}`" for part, variable in row.settings.items())
    return f"{first}`{own}`" + (f" ({parts})" if parts else "")


def _module(row: Any) -> str:
    """The module that defines the wire format; a codec made of another one has that one's."""
    modules = [base.__module__.rpartition(".")[2] for base in type(row.codec).__mro__]
    return next(module for module in modules if module in APIS)


def _abilities(can: Capabilities) -> Iterator[str]:
    for flag in FLAGS:
        yield "✓" if getattr(can, flag) and getattr(can, NEEDS.get(flag, flag)) else "–"


def _table(head: list[str], rows: Iterator[list[str]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(0 if PAGE.write_text(page(), encoding="utf-8") else 1)
