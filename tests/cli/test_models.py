"""`streamkit models`: what is asked, what is printed, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from streamkit.cli import main
from streamkit.testing import ProviderServer, error_answer

LIST = error_answer(200, {"data": [{"id": "m-2"}, {"id": "m-1"}]})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProviderServer]:
    """A scripted Groq, with a key configured for it."""
    with ProviderServer() as server:
        monkeypatch.setenv("GROQ_API_KEY", "key-0123456789")
        monkeypatch.setenv("GROQ_BASE_URL", server.base_url)
        yield server


@pytest.mark.parametrize("args", [[], ["--provider", "groq"]])
def test_names_are_printed(server: ProviderServer, capsys: pytest.CaptureFixture[str], args: list[str]) -> None:
    """One a line, in the provider's order, of the provider that is named or configured."""
    server.reply(LIST)

    assert 0 == main(["models", *args])
    assert ("m-2\nm-1\n", "") == capsys.readouterr()
    assert [("GET", "/v1/models")] == [(request.method, request.path) for request in server.requests]


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["--provider", "nobody"], 1, "unknown provider 'nobody'"),
        (["--provider", "perplexity"], 1, "perplexity not configured"),
        ([], 2, "groq: 401 invalid_api_key: no such key"),
    ],
)
def test_errors_have_their_codes(
    server: ProviderServer, capsys: pytest.CaptureFixture[str], args: list[str], code: int, says: str
) -> None:
    """Wrong use and a provider that says no are told apart, on stderr; nothing is on stdout."""
    server.reply(error_answer(401, {"error": {"message": "no such key", "code": "invalid_api_key"}}))

    assert code == main(["models", *args])

    out, err = capsys.readouterr()

    assert "" == out
    assert says in err


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="a broken pipe is told otherwise here")
def test_nobody_reads_any_more(server: ProviderServer) -> None:
    """When the reader of the output has gone, it ends without a traceback."""
    server.reply(error_answer(200, {"data": [{"id": f"model-{n}"} for n in range(100_000)]}))
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "streamkit", "models", "--provider", "groq"],
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    finally:
        os.close(writer)

    assert (141, b"") == (ran.returncode, ran.stderr)
