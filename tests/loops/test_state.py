"""StreamState: taken from whatever is at hand, saved whole or not at all, and read back."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import (
    ChatResponse,
    Client,
    ConfigError,
    ConnectionLost,
    ResponseInfoFields,
    RetriesExhausted,
    Step,
    StreamState,
    ToolCall,
    Usage,
)
from streamkit.loops import state as state_module
from streamkit.testing import Gate, ProviderServer, Status, Wait
from tests.feeding import Feed, finish, text
from tests.loopback import client_of, delta

STATE = StreamState(
    partial_content='The quick "fox"\n🎉',
    token_count=4,
    response_id="resp_1",
    sequence_number=17,
    attempts=2,
    usage=Usage(prompt_tokens=5, completion_tokens=4, total_tokens=9, source="reported"),
    tool_calls=1,
)


def attempts(*modes: str, chunks: int = 2) -> ResponseInfoFields:
    """What a response says of attempts that went on in these ways."""
    made = [{"attempt": n, "mode": mode, "id": f"r{n}", "chunks": chunks} for n, mode in enumerate(modes, 1)]
    return ResponseInfoFields(id="last", provider_metadata={"attempts": made})


# -- of


def test_of_a_response() -> None:
    """Its text, id, usage and begun calls; how many chunks it came in, it does not say."""
    usage = Usage(total_tokens=9, source="reported", raw={"total": 9})
    step = Step(
        text="Hel",
        thinking="",
        tool_calls=(ToolCall(id="c", name="look", input="{", complete=False),),
        tool_results=(),
        usage=usage,
        finish_reason="",
        response=ResponseInfoFields(),
        provider_metadata={},
    )
    response = ChatResponse(text="Hel", steps=(step,), total_usage=usage, response=ResponseInfoFields(id="r"))

    assert StreamState(
        partial_content="Hel", response_id="r", attempts=1, usage=attrs.evolve(usage, raw={}), tool_calls=1
    ) == StreamState.of(response)


def test_of_a_response_of_several_attempts() -> None:
    """Chunks and attempts are those of all; an id only where all that came is of one answer of the provider's."""
    assert (4, 2, "r2") == facts(attempts("first", "native"))
    assert (6, 3, None) == facts(attempts("earlier", "prompt", "prefill"))
    assert (0, 2, "last") == facts(attempts("first", "prompt", chunks=0))


def facts(info: ResponseInfoFields) -> tuple[int, int, str | None]:
    """Chunks, attempts and id of the state of such a response."""
    state = StreamState.of(ChatResponse(text="Hello", response=info))
    return state.token_count, state.attempts, state.response_id


@pytest.mark.parametrize("strange", ["none", ["none"], [{"attempt": 1}], 7])
def test_metadata_of_others_is_left_alone(strange: Any) -> None:
    """A provider may have a field of this name."""
    info = ResponseInfoFields(id="r", provider_metadata={"attempts": strange})

    assert (0, 1, "r") == facts(info)


def test_of_an_error() -> None:
    """The partial response that it carries, or nothing; one that gave up has the state itself."""
    partial = ChatResponse(text="Hel")

    assert "Hel" == StreamState.of(ConnectionLost("gone", partial=partial, attempts=3)).partial_content
    assert 3 == StreamState.of(ConnectionLost("gone", partial=partial, attempts=3)).attempts
    assert StreamState() == StreamState.of(ConfigError("no key"))
    assert STATE is StreamState.of(RetriesExhausted("gave up", state=STATE))


def test_of_a_live_stream() -> None:
    """At any time, and again later."""
    gate = Gate()
    with ProviderServer() as server, client_of(server) as client:
        server.reply(Status(), delta("Hel"), delta("lo"), Wait(gate), delta("!"))
        with ask(client) as stream:
            assert "Hello" == stream.ch.get().content + stream.ch.get().content
            first = StreamState.of(stream)
            gate.set()
            stream.err.get()
            later = StreamState.of(stream)

    assert ("Hello", 2, 1) == (first.partial_content, first.token_count, first.attempts)
    assert ("Hello!", 3, 1) == (later.partial_content, later.token_count, later.attempts)


def ask(client: Client) -> Any:
    """An open stream."""
    return client.chat("gpt-4o").user("Hi").get_stream()


def test_of_anything_else() -> None:
    """It says what it can be made of."""
    with pytest.raises(ConfigError, match="str has no state: give a ChatStream, a ChatResponse or an error"):
        StreamState.of("Hello")  # type: ignore[arg-type]


# -- files


def test_a_saved_state_is_read_back(tmp_path: Path) -> None:
    """Every field, by a path or the name of one."""
    file = tmp_path / "state.json"
    STATE.save(str(file))

    assert STATE == StreamState.load(file)
    assert ["state.json"] == os.listdir(tmp_path)


@given(st.text(), st.integers(0, 2**62), st.none() | st.text())
def test_any_text_is_read_back(tmp_path_factory: pytest.TempPathFactory, text: str, n: int, id: str | None) -> None:
    """Control characters, quotes, emoji; text that cannot be encoded never enters a response."""
    file = tmp_path_factory.getbasetemp() / "any.json"
    state = StreamState(partial_content=text, token_count=n, response_id=id)
    state.save(file)

    assert state == StreamState.load(file)


def test_it_is_json_with_a_version_and_private(tmp_path: Path) -> None:
    """Its fields are those of the class, and nobody else may read what a model wrote."""
    file = tmp_path / "state.json"
    STATE.save(file)
    written = json.loads(file.read_text(encoding="utf-8"))

    assert {"version", *attrs.asdict(STATE)} == set(written)
    assert 1 == written["version"]
    assert "raw" not in written["usage"]
    assert os.name == "nt" or 0o600 == stat.S_IMODE(file.stat().st_mode)


def test_no_file_is_an_empty_state(tmp_path: Path) -> None:
    """So that a program can always begin with `load`."""
    assert StreamState() == StreamState.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"version": 1, "partial_con',
        b"[]",
        b"\xff\xfe",
        b'{"version": 2}',
        b'{"version": 1}',
        b"[" * 100_000,
        *[
            json.dumps({**json.loads('{"version": 1}'), **damage}).encode()
            for damage in (
                {"partial_content": None},
                {"token_count": -1},
                {"token_count": "4"},
                {"response_id": 5},
                {"sequence_number": 1.5},
                {"attempts": None},
                {"usage": []},
                {"usage": {"source": "guessed"}},
                {"tool_calls": True},
            )
        ],
    ],
)
def test_a_damaged_file_is_an_error(content: bytes, tmp_path: Path) -> None:
    """It says which, that it is damaged, and what to do; never is half a state read."""
    file = tmp_path / "state.json"
    STATE.save(file)
    if content.startswith(b'{"version": 1, "') and content.endswith(b"}"):  # one field of a whole one
        content = json.dumps({**json.loads(file.read_bytes()), **json.loads(content)}).encode()
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=r"state\.json' is damaged \(.+\): remove it to begin anew"):
        StreamState.load(file)


def test_a_place_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    """It is an error of ours that says which."""
    with pytest.raises(ConfigError, match=r"cannot be saved to .*No such file"):
        STATE.save(tmp_path / "no" / "state.json")
    with pytest.raises(ConfigError, match="cannot be read from"):
        StreamState.load(tmp_path)


def test_ctrl_c_just_after_the_saving_is_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new file is there, and no other error takes the interrupt's place."""
    file = tmp_path / "state.json"
    replace = os.replace

    def interrupted(old: str, new: Path) -> None:
        replace(old, new)
        raise KeyboardInterrupt

    monkeypatch.setattr(state_module.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        STATE.save(file)

    assert STATE == StreamState.load(file)


def test_a_failure_while_saving_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What had been saved stays readable, and nothing else is left behind."""
    file = tmp_path / "state.json"
    STATE.save(file)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state_module.os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        StreamState(partial_content="newer").save(file)

    assert STATE == StreamState.load(file)
    assert ["state.json"] == os.listdir(tmp_path)


def test_a_whole_answer_says_so(tmp_path: Path) -> None:
    """Also where it was saved with the last chunk, before the stream had ended; and where it is read back."""
    with Feed() as feed:
        stream = feed.stream()
        feed.give(text("The fox.", 0))
        stream.ch.get()
        begun = StreamState.of(stream)
        feed.give(finish(1))
        stream.ch.get()
        last = StreamState.of(stream)
        feed.end()
        stream.result()
    last.save(tmp_path / "state.json")

    assert [False, True, True] == [state.complete for state in (begun, last, StreamState.of(stream))]
    assert StreamState.load(tmp_path / "state.json").complete


def test_a_file_that_does_not_say_whether_it_is_whole(tmp_path: Path) -> None:
    """It is of a version that did not know, and saved what was cut."""
    path = tmp_path / "state.json"
    StreamState(partial_content="The").save(path)
    written = json.loads(path.read_text(encoding="utf-8"))
    del written["complete"]
    path.write_text(json.dumps(written), encoding="utf-8")

    assert not StreamState.load(path).complete
