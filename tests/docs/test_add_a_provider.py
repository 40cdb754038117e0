"""docs/add-a-provider.md, followed step by step: a row, and a package with a codec, an entry point and tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamkit.testing import End, ProviderServer, Send, Status, chat_answer, error_answer
from tests.test_readme import snippets

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "add-a-provider.md"
_FILE = re.compile(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files() -> dict[str, str]:
    """The files that the page writes, by their names."""
    return dict(_FILE.findall(PAGE.read_text(encoding="utf-8")))


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    """A server in the place of an invented service."""
    with ProviderServer() as server:
        yield server


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


@pytest.fixture(name="package")
def fixture_package(tmp_path: Path) -> Path:
    """The page's package, written and installed: its entry points stand where an installer puts them."""
    for name, content in files().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    project = (tmp_path / "pyproject.toml").read_text(encoding="utf-8")
    group, points = re.findall(r'^\[project\.entry-points\."(.+)"\]\n((?:\w+ = ".+"\n)+)', project, re.MULTILINE)[0]
    info = tmp_path / "streamkit_parrot-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: streamkit-parrot\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{points.replace(chr(34), '')}")
    return tmp_path


def ran(package: Path, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the package installed."""
    path = os.pathsep.join([str(package), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-m", *args],
        capture_output=True,
        text=True,
        cwd=package,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **variables},
        timeout=100,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_the_packages_own_tests(package: Path) -> None:
    """They pass, and there are some."""
    done = ran(package, "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(package))

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
    done = ran(package, "mypy", "--strict", "--no-incremental", "streamkit_parrot.py", MYPYPATH=str(ROOT))

    assert 0 == done.returncode, done.stdout + done.stderr
