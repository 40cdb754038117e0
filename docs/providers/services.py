"""Writes docs/providers/services/NAME.md, a page for each service that speaks another's API, from its row of facts.

Run `python docs/providers/services.py` after changing a row. What a row cannot say stands in services.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from streamkit import providers
from streamkit.codec import Capabilities

FOLDER = Path(__file__).with_name("services")

OWN_PAGES = ("openai", "openai-responses", "anthropic", "gemini", "vertex", "cohere", "ollama", "local")
"""Those that have a page of their own beside this folder, or, `local`, in the README."""

APIS = {
    "openai_chat": ("chat completions", "../openai.md"),
    "openai_responses": ("the Responses API", "../openai_responses.md"),
    "anthropic": ("Anthropic's Messages API", "../anthropic.md"),
}
"""What an API is called and where it is described, by the module that speaks it."""

NOTES: dict[str, list[str]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
"""What a service does that its row does not say, by its name."""

WORDS = {
    "tools": "tools",
    "required_tool": 'tool_choice "required"',
    "named_tool": "tool_choice by name",
    "parallel_tool_calls": "`parallel=False`",
    "tool_result_images": "images in a tool's result",
    "images": "images",
    "image_urls": "images by URL",
    "files": "files",
    "thinking": "`.extended_thinking()`",
    "thinking_budget": "`.thinking_budget(n)`",
    "reasoning_effort": "`.reasoning_effort(...)`",
    "prompt_caching": "`.prompt_caching()` and `cache=True`",
    "json": "JSON without a schema",
    "json_schema": "JSON Schemas",
    "seed": "`.seed(n)`",
    "stop": "`.stop(...)`",
    "top_k": "`.top_k(n)`",
    "penalties": "`.penalties(...)`",
    "logprobs": "`.logprobs()`",
}
"""What cannot be asked where a flag of `Capabilities` is down."""

IMPLIED = {
    "tools": ("required_tool", "named_tool", "parallel_tool_calls", "tool_result_images"),
    "images": ("image_urls",),
}
"""What cannot be asked either where such a flag is down, whatever its own says."""


def names() -> list[str]:
    """Give the names of the services that get a page."""
    return [name for name in providers.names(others=False) if name not in OWN_PAGES]


def page(name: str) -> str:
    """Give the page of a service."""
    row: Any = object.__new__(providers.find(name))  # type: ignore[call-overload]  # without key and address
    cls = type(row).__name__
    first, *rest = [line for line in (type(row).__doc__ or "").splitlines() if line.strip()]
    links = [line.strip() for line in rest if "https://" in line]
    api, api_page = APIS[_module(row)]
    given = ", ".join(f'{one}="..."' for one in getattr(row, "settings", {}))
    model = getattr(row, "usual_model", "") or "the-model"
    lines = [
        f"# {re.split('[;:.]', first)[0].strip()}",
        "",
        "<!-- written by docs/providers/services.py: change the row or the notes, not this page -->",
        "",
        f"It speaks [{api}]({api_page}): what arrives, in which order, and what is complete is told there."
        + (f" Its documentation: <{links[0]}>." if links else ""),
        "",
        "```python",
        "from streamkit import Client",
        f"from streamkit.providers import {cls}",
        "",
        f"client = Client({cls}())" + (f"  # or {cls}({given})" if given else ""),
        f'for text in client.chat("{model}").user("Why is the sky blue?").get_stream().text():',
        '    print(text, end="", flush=True)',
        "```",
        "",
        *_table(name, row),
        "",
    ]
    ways = [*_ways(row), *NOTES.get(name, [])]
    if ways:
        lines += ["## Its own ways", "", *(f"- {way}" for way in ways), ""]
    if refused := list(_refused(row.capabilities)):
        lines += ["## Refused before anything is sent", "", f"{', '.join(refused)}.", ""]
    return "\n".join(lines)


def _table(name: str, row: Any) -> Iterator[str]:
    keys = ", ".join(f"`{variable}`" for variable in row.key_variables)
    parts = ", ".join(f"`{variable}` ({part})" for part, variable in row.settings.items())
    header = getattr(getattr(row.codec, "quirks", None), "key_header", "Authorization")
    header = "Authorization: Bearer" if header == "Authorization" else header
    yield "| | |"
    yield "|---|---|"
    yield f'| Name | `{name}`: `streamkit chat --provider {name}`, `providers.get("{name}")` |'
    yield f"| Key | {keys}{'' if row.needs_key else ' (may be missing)'}, sent as `{header}` |"
    variable = f"`{row.base_url_variable}`, else " if row.base_url_variable else ""
    yield f"| Address | {variable}`{row.default_base_url}` |"
    if parts:
        yield f"| Parts of the address | {parts} |"
    if row.usual_model:
        yield f"| The command line asks | `{row.usual_model}`, where no model is named |"


def _ways(row: Any) -> Iterator[str]:
    """What its quirks say, in words."""
    quirks = getattr(row.codec, "quirks", None)

    def get(field: str, default: Any) -> Any:
        return getattr(quirks, field, default)

    for name, path in get("fields", {}).items():
        yield f"`{name}` is sent as `{path}`." if path else f"`{name}` is not sent."
    if get("thinking", {}):
        yield f"`.extended_thinking()` sends `{json.dumps(dict(get('thinking', {})))}`."
    if get("thinking_budget", ""):
        yield f"`.thinking_budget(n)` is sent as `{get('thinking_budget', '')}`."
    if get("thinking_back", ""):
        yield f"Its thinking goes back as `{get('thinking_back', '')}` while tools are called."
    if get("prefill", ""):
        yield f"With a last message of the assistant's, marked `{get('prefill', '')}`, the model goes on with it."
    yield from _caching(row)
    if get("max_completion_tokens", None):
        yield "`.max_tokens(n)` becomes `max_completion_tokens` for the models that know only that."
    if get("unsigned_thinking", False):
        yield "Its thinking goes back as plain text."
    if get("models_path", "models") == "":
        yield "It lists no models."


def _caching(row: Any) -> Iterator[str]:
    quirks = getattr(row.codec, "quirks", None)
    marks, key = getattr(quirks, "cache_marks", None), getattr(quirks, "cache_key", "")
    if marks is not None:
        where = (
            f", for models with `{marks}` in their names; the others' prompts are cached by themselves" if marks else ""
        )
        yield f"`.prompt_caching()` and `cache=True` on a text mark what is to be cached{where}."
    elif key:
        yield f"`.prompt_caching()` and `cache=True` send a `{key}` made of the tools and the system text."
    elif row.capabilities.prompt_caching and _module(row) != "anthropic":
        yield "It caches prompts by itself: `.prompt_caching()` and `cache=True` ask for nothing."


def _refused(can: Capabilities) -> Iterator[str]:
    """What cannot be asked; what goes without saying is said with that from which it follows."""
    down = [flag for flag in WORDS if not getattr(can, flag)]
    followed = {flag for first in down for flag in IMPLIED.get(first, ())}
    for flag in down:
        if flag in IMPLIED:
            *some, last = [WORDS[other] for other in IMPLIED[flag]]
            yield f"{WORDS[flag]}, and with them {' and '.join(filter(None, [', '.join(some), last]))}"
        elif flag not in followed:
            yield WORDS[flag]


def _module(row: Any) -> str:
    modules = [base.__module__.rpartition(".")[2] for base in type(row.codec).__mro__]
    return next(module for module in modules if module in APIS)


def main() -> None:
    """Write all pages, and take away those of services that there are no more."""
    FOLDER.mkdir(exist_ok=True)
    wanted = {FOLDER / f"{name}.md": page(name) for name in names()}
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    for path in set(FOLDER.glob("*.md")) - set(wanted):
        path.unlink()


assert {field.name for field in attrs.fields(Capabilities)} >= set(WORDS)

if __name__ == "__main__":
    main()
