"""The optional conformance corpus: where it is, and what is in it.

It lies outside the project: at the directory named by the environment variable STREAMKIT_CORPUS, else at
`../shared/corpus` beside the project. Without it the lists are empty and `require_corpus` skips a test.
"""

from __future__ import annotations

import base64
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

__all__ = ["CORPUS", "SSECase", "require_corpus", "sse_cases", "transcripts"]


def _find() -> pathlib.Path | None:
    named = os.environ.get("STREAMKIT_CORPUS")
    if named:
        return pathlib.Path(named)  # not looked for: a name that is wrong shall fail, not skip
    beside = pathlib.Path(__file__).resolve().parents[2] / "shared" / "corpus"
    return beside if beside.is_dir() else None


CORPUS: pathlib.Path | None = _find()
"""The corpus's directory, or None where there is none."""


@attrs.frozen(kw_only=True)
class SSECase:
    """One body and what it means: `events` are (event, data, id), `retry` is in ms or None if never set."""

    name: str
    blocks: tuple[bytes, ...]
    events: tuple[tuple[str, str, str], ...]
    last_event_id: str
    retry: int | None

    @property
    def body(self) -> bytes:
        """The blocks as one."""
        return b"".join(self.blocks)


def require_corpus() -> pathlib.Path:
    """Give the corpus's directory, or skip the test that asks."""
    if CORPUS is None:
        pytest.skip("no conformance corpus: set STREAMKIT_CORPUS to its directory, or put it at ../shared/corpus")
    return CORPUS


def sse_cases() -> list[SSECase]:
    """Give the cases of `sse/cases.jsonl`; none without a corpus. For `pytest.mark.parametrize`."""
    if CORPUS is None:
        return []
    lines = (CORPUS / "sse" / "cases.jsonl").read_text("utf-8").split("\n")
    return [_case(json.loads(line)) for line in lines if line]


def transcripts(api: str) -> Iterator[tuple[str, dict[str, Any], bytes]]:
    """Yield each recorded answer of `api` (such as "openai-chat") as (path id, meta data, body), sorted by path id.

    The path id is "PROVIDER/NAME". Nothing is yielded without a corpus.
    """
    if CORPUS is None:
        return
    for path in sorted((CORPUS / "transcripts").glob("*/*.json")):
        meta = json.loads(path.read_text("utf-8"))
        if meta["api"] == api:
            yield f"{path.parent.name}/{path.stem}", meta, (path.parent / meta["body"]).read_bytes()


def _case(row: dict[str, Any]) -> SSECase:
    return SSECase(
        name=row["name"],
        blocks=tuple(base64.b64decode(block) for block in row["chunks_base64"]),
        events=tuple((e["event"], e["data"], e["id"]) for e in row["expected_events"]),
        last_event_id=row["last_event_id"],
        retry=row["retry"],
    )
