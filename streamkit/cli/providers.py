"""Which provider a command line means, and which model of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from streamkit import keys, providers
from streamkit.codec import Provider
from streamkit.errors import ConfigError

__all__ = ["choose", "provider_of"]

LOCAL = "local"


def choose(provider: str | None, model: str | None) -> tuple[Provider, str]:
    """Give the provider and the model that these options mean.

    The provider is the one named, or the one before the colon of a model such as "groq:llama-3.3-70b-versatile", else
    the first that a key is configured for (openai, anthropic, then the others), else the local one. Blocks while the
    local model starts. Says on stderr when it falls back to that, and which keys did not count, and why.

    Raises:
        ConfigError: There is no such provider, no key for it, no model of it was named and it has no usual one, or the
            local model is not installed.
        ConnectFailed: The local model does not start.
    """
    if provider is None and model is not None:
        provider, model = _split(model)
    name = provider or _configured() or LOCAL
    if name == LOCAL:
        return _local(model, fallback=provider is None)
    found = providers.find(name)
    model = model or getattr(found, "usual_model", "")
    if not model:
        raise ConfigError(f"{name} has no usual model: name one with -m; streamkit models --provider {name} lists them")
    return found(), model


def provider_of(name: str | None) -> Provider:
    """Give the provider of this name, else the first that a key is configured for, else the local one."""
    return providers.get(name or _configured() or LOCAL)


def _split(model: str) -> tuple[str | None, str]:
    """Give provider and model of "groq:name"; a model's own name may have a colon in it, too."""
    name, colon, rest = model.partition(":")
    return (name, rest) if colon and rest and name in providers.names() else (None, model)


def _configured() -> str | None:
    """The first of our own providers with a usual model that the environment has a key, and all else, for."""
    return next((name for name in providers.names(others=False) if _is_configured(providers.find(name))), None)


def _is_configured(found: Callable[..., Provider]) -> bool:
    facts: Any = found
    variables = getattr(facts, "key_variables", ())
    if not variables or not getattr(facts, "usual_model", "") or keys.from_environment(variables) is None:
        return False
    return not _missing(facts)


def _missing(facts: Any) -> list[str]:
    """The variables that its address lacks."""
    if _is_set(getattr(facts, "base_url_variable", None)):
        return []
    return [variable for variable in getattr(facts, "settings", {}).values() if not _is_set(variable)]


def _is_set(variable: str | None) -> bool:
    return keys.base_url_from_environment(variable) is not None


def _passed_over() -> Iterator[str]:
    """Each key that is set and did not count, with what the first of its providers lacks."""
    told: set[str] = set()
    for name in providers.names():
        try:
            facts: Any = providers.find(name)
        except ConfigError:  # another package's, which cannot be imported
            continue
        variable = next(filter(_is_set, getattr(facts, "key_variables", ())), None)
        if variable is not None and variable not in told:
            told.add(variable)
            yield f"{variable} is set, but {_lack(name, facts)}"


def _lack(name: str, facts: Any) -> str:
    missing = _missing(facts)
    lacks = [f"needs {' and '.join(missing)}, too"] if missing else []
    if not getattr(facts, "usual_model", ""):
        lacks.append(f"has no usual model: name one, as in -m {name}:MODEL")
    return f"{name} {', and '.join(lacks) or f'is of another package: name it, as in --provider {name}'}"


def _local(model: str | None, *, fallback: bool) -> tuple[Provider, str]:
    from streamkit.providers.local import DEFAULT_MODEL, Local

    if model not in (None, DEFAULT_MODEL):
        named, colon, _ = str(model).partition(":")
        unknown = f"{named!r} is no provider, and " if colon else ""
        raise ConfigError(
            f"{unknown}the local model is {DEFAULT_MODEL}: for {model!r} set OPENAI_API_KEY, ANTHROPIC_API_KEY or "
            "another provider's key, and name it, as in --provider openai"
        )
    local = Local()
    if fallback:
        _say_who_answers()
    _start(local)
    return local, DEFAULT_MODEL


def _say_who_answers() -> None:
    passed_over = list(_passed_over())
    for reason in passed_over:
        print(reason, file=sys.stderr)
    so = "So" if passed_over else "No key is configured:"
    print(f"{so} the small local model (SmolLM2-135M, on this machine) answers.", file=sys.stderr)


def _start(local: Any) -> None:
    from streamkit.local import server

    told = server().pid is None and sys.stderr.isatty()
    if told:
        print("starting the local model…", end="", file=sys.stderr, flush=True)
    try:
        local.start()
    finally:
        if told:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
