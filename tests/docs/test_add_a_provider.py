"""docs/add-a-provider.md, followed step by step: a row, and a package with a codec, an entry point and tests."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import pytest

from streamkit import Client, NotFound, ProviderError, RetryPolicy
from streamkit.providers.openai_chat import Quirks
from streamkit.testing import End, Event, ProviderServer, Send, Status, chat_answer, error_answer
from tests import decoding
from tests.test_readme import snippets

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "add-a-provider.md"
_FILE = re.compile(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files(folder: Path, *, of_streamkit: bool) -> None:
    """Write the page's files: those of streamkit's own tests, or those of the package."""
    for name, content in _FILE.findall(PAGE.read_text(encoding="utf-8")):
        if of_streamkit == name.startswith("tests/"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")


def test_the_row(server: ProviderServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The first snippet makes a service of a row, whose quirks and address are used."""
    monkeypatch.setenv("ACME_API_KEY", "key-0123456789")
    monkeypatch.setenv("ACME_BASE_URL", server.base_url)
    server.reply(chat_answer("It is not."))
    server.reply(error_answer(200, {"data": [{"id": "acme-1"}]}))
    namespace: dict[str, object] = {"__name__": "page"}
    exec(compile(snippets(PAGE)[0], str(PAGE), "exec"), namespace)  # running the page is the point
    sent = server.requests[0]
    acme = namespace["Acme"]("k-0123456789", region="eu")  # type: ignore[operator]  # the class that the page made

    assert "It is not.\n['acme-1']\n" == capsys.readouterr().out
    assert "Bearer key-0123456789" == sent.headers["authorization"]
    assert {
        "model": "acme-1",
        "messages": [{"role": "user", "content": "Why is the sky blue?"}],
        "stream": True,
        "random_seed": 7,
        "reasoning": {"enabled": True, "max_tokens": 500},
    } == sent.json()
    assert "https://eu.acme.example/v1" == acme.base_url


def test_every_quirk_is_told() -> None:
    """The table has a word for each field of `Quirks`, and for nothing else."""
    rows = re.findall(r"^\| (`.+?`) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(field.name for field in attrs.fields(Quirks)) == sorted(re.findall(r"\w+", " ".join(rows)))


def test_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put where the page says, it is found, and what it is said to hold is in it."""
    files(tmp_path, of_streamkit=True)
    monkeypatch.setattr(decoding, "__file__", str(tmp_path / "tests" / "decoding.py"))
    namespace: dict[str, Any] = {"__name__": "page"}
    exec(snippets(PAGE)[0].partition("\n\nwith ")[0], namespace)  # the row alone
    acme = namespace["Acme"]("k-0123456789", region="eu")
    ((name, meta, body),) = decoding.own_transcripts("acme")

    assert ("hello", 200) == (name, meta["status"])
    assert {} == decoding.difference(meta["expected"], decoding.decode(acme, [body]))


@pytest.fixture(name="package")
def fixture_package(tmp_path: Path) -> Path:
    """The page's package: its sources in `source`, and in `installed` what its build makes of them."""
    if find_spec("setuptools") is None:
        pytest.skip("setuptools, which builds the package, is not installed")
    source, installed = tmp_path / "source", tmp_path / "installed"
    files(source, of_streamkit=False)
    installed.mkdir()
    build = ["build_py", "--build-lib", str(installed), "egg_info", "--egg-base", str(installed)]
    run(source, "-c", "import setuptools; setuptools.setup()", *build).check_returncode()
    return tmp_path


def run(folder: Path, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder."""
    return subprocess.run(
        [sys.executable, *args],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **variables},
        timeout=100,
        stdin=subprocess.DEVNULL,
    )


def ran(package: Path, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a module of Python's with the package installed, away from its sources."""
    path = os.pathsep.join([str(package / "installed"), str(ROOT)])
    return run(package, "-m", *args, PYTHONPATH=path, **variables)


def test_the_package_is_built_whole(package: Path) -> None:
    """Its module is in what is installed, and its entry point; its recordings are not."""
    installed = package / "installed"
    (points,) = installed.glob("*-info/entry_points.txt")

    assert {"streamkit_parrot.py", points.parent.name} == {path.name for path in installed.iterdir()}
    assert "[streamkit.providers]\nparrot = streamkit_parrot:Parrot" == points.read_text("utf-8").strip()


@pytest.mark.slow
def test_the_packages_own_tests(package: Path) -> None:
    """They pass, and there are some; what they test is what was installed."""
    options = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir", str(package)]
    done = ran(package, "pytest", *options, "source")

    assert (0, "") == (done.returncode, done.stderr), done.stdout
    assert re.search(r"^1\d passed", done.stdout, re.MULTILINE)


@pytest.mark.slow
def test_the_package_in_the_command_line(package: Path, server: ProviderServer) -> None:
    """The command line knows the provider by its name, and by a model's."""
    body = b'{"say": "Hello!"}\n{"end": {"why": "done", "heard": 1, "said": 2}}\n'
    server.reply(Status(200), Send(body), End(), times=2)
    server.reply(error_answer(200, b'[{"name": "polly"}]'))
    variables = {"PARROT_API_KEY": "key-0123456789", "PARROT_BASE_URL": server.url}
    done = [
        ran(package, "streamkit", *args, **variables)
        for args in (
            ["chat", "--provider", "parrot", "Hello?"],
            ["chat", "-m", "parrot:jacko", "Hello?"],
            ["models", "--provider", "parrot"],
        )
    ]

    assert [(0, "Hello!\n", ""), (0, "Hello!\n", ""), (0, "polly\n", "")] == [
        (each.returncode, each.stdout, each.stderr) for each in done
    ]
    assert ["polly", "jacko"] == [request.json()["parrot"] for request in server.requests[:2]]


@pytest.mark.slow
def test_the_codec_is_typed(package: Path) -> None:
    """The page's codec passes the type checker, where there is one."""
    pytest.importorskip("mypy", reason="the type checker is not installed")
    done = ran(package, "mypy", "--strict", "--no-incremental", "source/streamkit_parrot.py", MYPYPATH=str(ROOT))

    assert 0 == done.returncode, done.stdout + done.stderr


def test_what_another_api_may_need(server: ProviderServer) -> None:
    """Named events, a key of its own kind, errors in its own words, and a plain list of names."""
    namespace: dict[str, Any] = {"__name__": "page"}
    _, parrot, quill, _ = snippets(PAGE)
    exec(compile(parrot, str(PAGE), "exec", dont_inherit=True), namespace)
    exec(compile(quill, str(PAGE), "exec", dont_inherit=True), namespace)
    made = type("Quill", (namespace["Parrot"],), {"name": "quill", "codec": namespace["QuillSpeech"]()})
    server.reply(Status(200), Event({"t": "Hi."}, "ink"), Event({"why": "done", "said": 2}, "done"))
    server.reply(Status(200), Event({"t": "Hi"}, "ink"), Event({"why": "Spilt.", "kind": "not_found"}, "blot"))
    server.reply(*error_answer(404, {"why": "No such engine.", "kind": "lost"}))
    server.reply(*error_answer(404, b"<html>"))
    server.reply(*error_answer(200, json.dumps({"engines": ["a", None, "b"]}).encode()))
    with Client(made("key-0123456789", base_url=server.url), retry_policy=RetryPolicy(max_retries=0)) as client:
        chat = client.chat("q").user("Hi")
        final = chat.get_response()
        errors = []
        for _ in range(3):
            with pytest.raises(ProviderError) as caught:
                chat.get_response()
            errors.append(caught.value)
        names = client.models()

    assert ("Hi.", "stop", 2) == (final.text, final.finish_reason, final.usage.total_tokens)
    assert [NotFound, NotFound, NotFound] == [type(error) for error in errors]
    assert ["not_found", "lost", None] == [error.code for error in errors]
    assert "Spilt." in str(errors[0])
    assert "No such engine." in str(errors[1])
    assert ["a", "b"] == names
    assert "Quill key-0123456789" == server.requests[-1].headers["authorization"]
