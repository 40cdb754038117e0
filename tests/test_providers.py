"""Providers by their names: our own, imported with their first use, and those of other packages."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamkit import ConfigError, providers
from streamkit.providers import Groq, OpenAI
from streamkit.providers.keyed import KeyedProvider

KEY = "key-0123456789"
ROOT = Path(__file__).parents[1]
CLASSES = [name for name in providers.__all__ if name[0].isupper()]


def test_the_public_names() -> None:
    """All of them can be imported; a name that is not there is missed as in any module."""
    assert [] == [name for name in CLASSES if not isinstance(getattr(providers, name), type)]
    with pytest.raises(AttributeError, match="Nobody"):
        providers.__getattr__("Nobody")


def test_every_provider_of_the_package_has_its_name() -> None:
    """Each class that is a provider is found by the name it bears; only that for any server has no name."""
    found = {name: getattr(providers, cls) for name, cls in providers._NAMES.items()}

    assert sorted({*CLASSES} - {"OpenAICompatible"}) == sorted(cls.__name__ for cls in found.values())
    assert list(found) == [cls.name for cls in found.values()]


def test_every_class_in_the_package_is_public() -> None:
    """A provider class that a module of the package lists in its `__all__` is one of the package's names, too."""
    modules = [
        importlib.import_module(f"streamkit.providers.{m.name}") for m in pkgutil.iter_modules(providers.__path__)
    ]
    defined = {
        name
        for module in modules
        for name in module.__all__
        if isinstance(value := getattr(module, name), type) and issubclass(value, KeyedProvider)
    }

    assert set() == defined - {*CLASSES, "KeyedProvider"}


def test_a_provider_by_name() -> None:
    """`get` makes it with what its class takes; `find` gives the class."""
    made = providers.get("groq", api_key=KEY, base_url="http://127.0.0.1:1/v1")

    assert isinstance(made, Groq)
    assert "http://127.0.0.1:1/v1" == made.base_url
    assert Groq is providers.find("groq")


def test_a_provider_without_its_key() -> None:
    """What is missing is said as by the class itself."""
    with pytest.raises(ConfigError, match=r"^groq not configured: .*GROQ_API_KEY"):
        providers.get("groq")


def test_an_unknown_provider() -> None:
    """The names there are, are named."""
    with pytest.raises(ConfigError, match=r"unknown provider 'nobody': use one of openai, .*groq, .*local"):
        providers.get("nobody")


def test_a_model_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows the first colon is the model's name, further colons and slashes in it."""
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    plain, odd = providers.model("groq:llama-3.3-70b-versatile"), providers.model("openrouter:openai/gpt-oss-20b:free")

    assert ("groq", "llama-3.3-70b-versatile") == (plain.provider.name, plain.name)
    assert ("openrouter", "openai/gpt-oss-20b:free") == (odd.provider.name, odd.name)


@pytest.mark.parametrize("name", ["gpt-4o", "groq:", ":gpt-4o", ""])
def test_what_names_no_model(name: str) -> None:
    """A model alone, or a provider alone, is not enough."""
    with pytest.raises(ConfigError, match="provider"):
        providers.model(name)


def test_what_an_api_can_do_is_readable() -> None:
    """Each provider's flags can be asked before anything is sent."""
    perplexity = providers.get("perplexity", api_key=KEY)

    assert (False, True) == (perplexity.capabilities.tools, perplexity.capabilities.json_schema)


# -- providers of other packages


class Theirs(OpenAI):
    """A provider of another package."""

    name = "theirs"


@pytest.fixture(name="installed")
def fixture_installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Other packages' entry points; gives the groups that were asked for."""
    asked: list[str] = []
    points = [
        importlib.metadata.EntryPoint("theirs", f"{__name__}:Theirs", "streamkit.providers"),
        importlib.metadata.EntryPoint("openai", f"{__name__}:Theirs", "streamkit.providers"),
        importlib.metadata.EntryPoint("broken", "no_such_module_at_all:Provider", "streamkit.providers"),
    ]

    def entry_points(*, group: str) -> Any:
        asked.append(group)
        return points

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__, importlib.import_module(__name__)))
    return asked


def test_a_provider_of_another_package(installed: list[str]) -> None:
    """It is found by its entry point's name, and is among the names, after our own."""
    assert "theirs" == providers.get("theirs", api_key=KEY).name
    assert ("local", "broken", "theirs") == providers.names()[-3:]


def test_no_package_can_take_a_name_of_ours(installed: list[str]) -> None:
    """Our own come first, and without looking at other packages."""
    assert OpenAI is providers.find("openai")
    assert OpenAI is type(providers.get("openai", api_key=KEY))
    assert "theirs" not in providers.names(others=False)
    assert [] == installed


def test_a_provider_that_cannot_be_imported(installed: list[str]) -> None:
    """Whatever another package does when it is imported is an error of ours, with its cause."""
    with pytest.raises(ConfigError, match=r"broken .*cannot be imported: .*no_such_module_at_all") as caught:
        providers.get("broken")

    assert isinstance(caught.value.__cause__, ImportError)


# -- what is imported, and when

PROGRAM = """
import sys
import streamkit, streamkit.providers
before = sorted(name for name in sys.modules if name.startswith("streamkit.providers."))
streamkit.providers.get("groq", api_key="key-0123456789")
after = sorted(name for name in sys.modules if name.startswith("streamkit.providers."))
print(before, [name.rpartition(".")[2] for name in after], "importlib.metadata" in sys.modules)
"""


@pytest.mark.slow
def test_one_provider_is_imported_without_the_others() -> None:
    """Importing the package imports no provider; a service brings its row's module and its wire's, nothing else."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, cwd=ROOT)

    assert ("", "[] ['compatible', 'keyed', 'openai_chat'] False\n") == (ran.stderr, ran.stdout)
