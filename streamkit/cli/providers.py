"""Which provider a command line means, and which model of it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import attrs

from streamkit import keys
from streamkit.codec import Provider
from streamkit.errors import ConfigError
from streamkit.local import server
from streamkit.providers.anthropic import Anthropic
from streamkit.providers.local import DEFAULT_MODEL, Local
from streamkit.providers.openai_chat import OpenAI

__all__ = ["NAMES", "choose"]


@attrs.frozen(kw_only=True)
class _Choice:
    make: Callable[[], Provider]
    model: str
    key_variables: tuple[str, ...] = ()


_CHOICES = {
    "openai": _Choice(make=OpenAI, model="gpt-4o", key_variables=OpenAI.key_variables),
    "anthropic": _Choice(make=Anthropic, model="claude-sonnet-4-20250514", key_variables=Anthropic.key_variables),
    "local": _Choice(make=Local, model=DEFAULT_MODEL),
}

NAMES = tuple(_CHOICES)
"""What `--provider` takes."""


def choose(provider: str | None, model: str | None) -> tuple[Provider, str]:
    """Give the provider of this name, else the first that a key is configured for, else the local one; and the model.

    Blocks while the local model starts. Says on stderr when it falls back to that.

    Raises:
        ConfigError: There is no key for the provider or the model that was named, or the local model is not installed.
        ConnectFailed: The local model does not start.
    """
    name = provider or next((name for name, choice in _CHOICES.items() if _has_key(choice)), "local")
    choice = _CHOICES[name]
    if name == "local":
        if model not in (None, DEFAULT_MODEL):
            variables = " or ".join(variable for c in _CHOICES.values() for variable in c.key_variables)
            raise ConfigError(
                f"the local model is {DEFAULT_MODEL}: for {model!r} set {variables}, and name its --provider"
            )
        _start_local(fallback=provider is None)
    return choice.make(), model or choice.model


def _has_key(choice: _Choice) -> bool:
    return keys.from_environment(choice.key_variables) is not None


def _start_local(*, fallback: bool) -> None:
    local = Local()
    if fallback:
        print("No key is configured: the small local model (SmolLM2-135M, on this machine) answers.", file=sys.stderr)
    told = server().pid is None and sys.stderr.isatty()
    if told:
        print("starting the local model…", end="", file=sys.stderr, flush=True)
    try:
        local.start()
    finally:
        if told:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
