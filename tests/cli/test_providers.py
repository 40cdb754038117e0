"""Which provider and model a command line means."""

from __future__ import annotations

import io
import pathlib
import sys

import pytest

from streamkit import ConfigError, local
from streamkit.cli.providers import choose, provider_of
from tests.embedded import embedded

KEYS = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "groq": "GROQ_API_KEY",
    "xai": "XAI_API_KEY",
    "github": "GITHUB_TOKEN",
    "cloudflare": "CLOUDFLARE_API_TOKEN",
    "account": "CLOUDFLARE_ACCOUNT_ID",
    "vllm": "VLLM_API_KEY",
}


@pytest.mark.parametrize(
    ("keys", "named", "model", "expected"),
    [
        (["openai"], None, None, ("openai", "gpt-4o")),
        (["openai"], None, "o3", ("openai", "o3")),
        (["anthropic"], None, None, ("anthropic", "claude-sonnet-4-20250514")),
        (["openai", "anthropic"], None, None, ("openai", "gpt-4o")),
        (["openai", "anthropic"], "anthropic", None, ("anthropic", "claude-sonnet-4-20250514")),
        (["openai"], "local", None, ("local", "smollm2-135m")),
        (["groq"], None, None, ("groq", "openai/gpt-oss-20b")),
        (["groq"], None, "llama-3.3-70b-versatile", ("groq", "llama-3.3-70b-versatile")),
        (["groq", "anthropic"], None, None, ("anthropic", "claude-sonnet-4-20250514")),
        (["xai", "groq"], None, None, ("groq", "openai/gpt-oss-20b")),
        (["openai", "groq"], None, "groq:llama-3.3-70b-versatile", ("groq", "llama-3.3-70b-versatile")),
        (["openai", "groq"], "groq", None, ("groq", "openai/gpt-oss-20b")),
        (["openai"], None, "ft:gpt-4o:org::id", ("openai", "ft:gpt-4o:org::id")),
        (["openai"], "openai", "groq:x", ("openai", "groq:x")),
        (["openai"], None, "vllm:meta/llama:8b", ("vllm", "meta/llama:8b")),
        (["openai"], "vllm", "m", ("vllm", "m")),
        (["openai"], None, "local:smollm2-135m", ("local", "smollm2-135m")),
        (["github"], None, None, ("local", "smollm2-135m")),
        (["vllm"], None, None, ("local", "smollm2-135m")),
        (["cloudflare"], None, None, ("local", "smollm2-135m")),
        (["cloudflare", "account"], None, None, ("cloudflare", "@cf/meta/llama-3.3-70b-instruct-fp8-fast")),
        ([], None, None, ("local", "smollm2-135m")),
        ([], None, "smollm2-135m", ("local", "smollm2-135m")),
    ],
)
def test_the_choice(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    keys: list[str],
    named: str | None,
    model: str | None,
    expected: tuple[str, str],
) -> None:
    """A named provider counts, else the first that is configured and has a usual model, else the local one."""
    for name in keys:
        monkeypatch.setenv(KEYS[name], "key")
    with embedded(monkeypatch, tmp_path):
        provider, chosen = choose(named, model)

    assert expected == (provider.name, chosen)


@pytest.mark.parametrize(
    ("named", "model", "message"),
    [
        ("openai", None, "openai not configured"),
        ("anthropic", None, "anthropic not configured"),
        (None, "gpt-4o", "set OPENAI_API_KEY, ANTHROPIC_API_KEY or another"),
        (None, "groq:x", "groq not configured"),
        (None, "grok:x", "'grok' is no provider, and the local model is smollm2-135m: for 'grok:x' set OPENAI_API_KEY"),
        ("nobody", None, "unknown provider 'nobody'"),
        ("vllm", None, "vllm has no usual model: name one with -m; streamkit models --provider vllm lists them"),
        ("local", "gpt-4o", "the local model is smollm2-135m"),
    ],
)
def test_no_other_model_answers_in_its_place(named: str | None, model: str | None, message: str) -> None:
    """Without its key, a provider or model that was asked for is an error; the local model does not stand in."""
    with pytest.raises(ConfigError, match=message):
        choose(named, model)


def test_a_key_that_cannot_be_one_is_no_missing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key with a line break in it is an error rather than a reason to ask the local model."""
    monkeypatch.setenv("OPENAI_API_KEY", "a\nb")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        choose(None, None)


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_a_fallback_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Falling back to the local model is said on stderr; at a terminal its start is, too, and wiped when it is over."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    with embedded(monkeypatch, tmp_path):
        choose(None, None)
        first = sys.stderr.getvalue()
        choose("local", None)
        second = sys.stderr.getvalue()

    assert (
        "No key is configured: the small local model (SmolLM2-135M, on this machine) answers.\n"
        "starting the local model…\r\x1b[K"
    ) == first
    assert first == second


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        (["GITHUB_TOKEN"], ["GITHUB_TOKEN is set, but github has no usual model: name one, as in -m github:MODEL"]),
        (["CLOUDFLARE_API_TOKEN"], ["CLOUDFLARE_API_TOKEN is set, but cloudflare needs CLOUDFLARE_ACCOUNT_ID, too"]),
        (
            ["AZURE_OPENAI_API_KEY", "VLLM_API_KEY"],
            [
                "AZURE_OPENAI_API_KEY is set, but azure needs AZURE_RESOURCE_NAME, too, and has no usual model: "
                "name one, as in -m azure:MODEL",
                "VLLM_API_KEY is set, but vllm has no usual model: name one, as in -m vllm:MODEL",
            ],
        ),
        (["MINE_API_KEY"], ["MINE_API_KEY is set, but mine is of another package: name it, as in --provider mine"]),
        ([], []),
    ],
)
def test_keys_that_did_not_count_are_named(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    variables: list[str],
    told: list[str],
) -> None:
    """Who falls back to the local model learns why no key counted; a package that cannot be imported says nothing."""
    (tmp_path / "mine.py").write_text(
        "class Mine:\n    key_variables = ('MINE_API_KEY',)\n    usual_model = 'mine-1'\n", "utf-8"
    )
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[streamkit.providers]\nbroken = nowhere:At\nmine = mine:Mine\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    for variable in variables:
        monkeypatch.setenv(variable, "key")
    with embedded(monkeypatch, tmp_path):
        choose(None, None)
    so = "So" if told else "No key is configured:"

    assert [*told, f"{so} the small local model (SmolLM2-135M, on this machine) answers."] == (
        capsys.readouterr().err.splitlines()
    )


def test_a_provider_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Where no model matters, the same provider is meant; the local one is made and not started."""
    with embedded(monkeypatch, tmp_path):
        fallback = provider_of(None)
        started = local.server().pid
    monkeypatch.setenv("GROQ_API_KEY", "key")

    assert ("local", None) == (fallback.name, started)
    assert ["groq", "vllm"] == [provider_of(None).name, provider_of("vllm").name]
