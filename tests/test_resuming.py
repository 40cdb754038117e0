"""stream_with_retry and resume: a cut answer goes on, as one stream, in the way that its provider takes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streamkit import (
    BadRequest,
    Cancelled,
    ChatBuilder,
    ChatResponse,
    ChatStream,
    Client,
    ConfigError,
    ConnectionLost,
    Context,
    Hooks,
    Message,
    Overloaded,
    RetriesExhausted,
    RetryPolicy,
    ServerError,
    Step,
    StreamKitError,
    StreamState,
    StreamTruncated,
    TextPart,
    ThinkingPart,
    Unauthorized,
    Usage,
    collect,
    resume,
    smooth,
    stream_with_retry,
    tee,
)
from streamkit.providers import Anthropic, Cohere, Gemini, Local, Mistral, Ollama, OpenAI, OpenAIResponses
from streamkit.testing import (
    Close,
    Event,
    Gate,
    ProviderServer,
    ReceivedRequest,
    Reset,
    Script,
    Send,
    Status,
    Wait,
    anthropic_answer,
    chat_answer,
    cohere_answer,
    error_answer,
    error_event,
    gemini_answer,
    ollama_answer,
    responses_answer,
)
from tests.loopback import ONCE, client_of

TEXT = "The quick brown fox jumps over the lazy dog.\n\nThen it sleeps; so do I, über alles 🎉 and on and on."
AT_ONCE = RetryPolicy(initial_interval=0)


@pytest.fixture(name="chat")
def fixture_chat(server: ProviderServer) -> Iterator[ChatBuilder]:
    """A question to its OpenAI."""
    with client_of(server) as client:
        yield client.chat("gpt-4o").system("Be brief.").user("Tell me of the fox.")


def went_on(chat: ChatBuilder, **options: Any) -> ChatStream:
    """An answer that goes on without waiting."""
    return stream_with_retry(chat, **{"retry_policy": AT_ONCE, **options})


def pieces(text: str, size: int = 4) -> list[str]:
    """A text as a model gives it."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def cut(*texts: str, by: Script = ()) -> tuple[Script, ...]:
    """An answer that breaks off after these texts."""
    return (*chat_answer(*texts)[: len(texts) + 2], by or Close())


def messages(server: ProviderServer, number: int = -1) -> list[tuple[str, str]]:
    """Roles and texts of the messages of a request."""
    return [(message["role"], text_of(message["content"])) for message in server.requests[number].json()["messages"]]


def text_of(content: Any) -> str:
    """The text of a message, which may be a list of parts."""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


# -- one answer


def test_a_cut_answer_goes_on(server: ProviderServer, chat: ChatBuilder) -> None:
    """The text is whole, the repeated words come once, and the chunks are numbered without a gap."""
    server.reply(*cut("The quick", " brown", " fox"))
    server.reply(*chat_answer("brown", " fo", "x ju", "mps."))
    stream = went_on(chat)
    chunks = list(stream)

    assert "The quick brown fox jumps." == "".join(chunk.content for chunk in chunks)
    assert list(range(6)) == [chunk.index for chunk in chunks]
    assert ["text"] * 5 + ["step_finish"] == [chunk.type for chunk in chunks]
    assert "The quick brown fox jumps." == stream.result().text == stream.result().messages[0].text
    assert (1, "stop", 2) == (len(stream.result().steps), stream.result().finish_reason, stream.stats.attempts)


def test_the_conversation_goes_along(server: ProviderServer, chat: ChatBuilder) -> None:
    """The system prompt, the question, what was answered so far, and then the wish to go on."""
    server.reply(*cut("The quick brown"))
    server.reply(*chat_answer(" fox"))
    assert "The quick brown fox" == went_on(chat).result().text

    prompt = (
        "Continue from where you left off. You were writing:\n---\nThe quick brown\n---\n"
        "Continue immediately without repeating."
    )
    assert [
        ("system", "Be brief."),
        ("user", "Tell me of the fox."),
        ("assistant", "The quick brown"),
        ("user", prompt),
    ] == messages(server)


def test_a_long_answer_is_quoted_once(server: ProviderServer, chat: ChatBuilder) -> None:
    """The whole stands in the conversation; the prompt quotes its end."""
    text = " ".join(f"word{n}" for n in range(1000))
    server.reply(*cut(text))
    server.reply(*chat_answer(" end"))
    assert f"{text} end" == went_on(chat).result().text
    *_, answer, prompt = messages(server)

    assert ("assistant", text) == answer
    assert f"\n---\n…{text[-2000:]}\n---\n" in prompt[1]


def test_an_answer_begun_by_the_user_goes_on_as_one(server: ProviderServer, chat: ChatBuilder) -> None:
    """What the user put into the model's mouth is the beginning of the same answer."""
    server.reply(*cut(" quick"))
    server.reply(*chat_answer(" fox"))
    assert " quick fox" == went_on(chat.assistant("The")).result().text

    assert ("assistant", "The quick") == messages(server)[-2]


def test_an_answer_begun_with_more_than_text_keeps_it(server: ProviderServer) -> None:
    """Signed thinking goes back with it."""
    begun = Message(role="assistant", content=[ThinkingPart(text="Hm.", signature="c2ln"), TextPart(text="The")])
    server.reply(*anthropic_answer(" fox"))
    with Client(Anthropic("k", base_url=server.url), retry_policy=ONCE) as client:
        chat = client.chat("claude-opus-4-6").user("Tell.").messages([begun])
        assert " quick fox" == resume(chat, StreamState(partial_content=" quick")).result().text
    said = server.requests[0].json()["messages"][1]["content"]

    assert ["Hm.", "The", " quick"] == [part.get("thinking") or part["text"] for part in said]


def test_mistral_has_said_again_what_the_user_had_begun(server: ProviderServer) -> None:
    """It stands in its answer already, and is not sent twice."""
    server.reply(*cut("The quick"))
    server.reply(*chat_answer("The quick", " fox"))
    with Client(Mistral("k", base_url=server.base_url), retry_policy=ONCE) as client:
        chat = client.chat("mistral-large-latest").user("Tell.").assistant("The")
        assert "The quick fox" == went_on(chat).result().text

    assert [("user", "Tell."), ("assistant", "The quick")] == messages(server)


def test_seams_and_attempts_are_told(server: ProviderServer, chat: ChatBuilder) -> None:
    """The first chunk after each seam is marked; the last one, and the response, tell of all attempts."""
    server.reply(*cut("The quick brown"))
    server.reply(*cut("brown fox", by=(error_event("broken"), Close())))
    server.reply(*chat_answer(" jumps"))
    stream = went_on(chat)
    chunks = list(stream.ch)
    marks = {chunk.index: chunk.metadata["resumed"] for chunk in chunks if "resumed" in chunk.metadata}
    final = stream.result()
    told = final.response.provider_metadata["attempts"]

    assert [(1, 2, "prompt"), (2, 3, "prompt")] == [(at, m["attempt"], m["mode"]) for at, m in marks.items()]
    assert marks[1]["error"].startswith("StreamTruncated: ")
    assert chunks[-1].metadata["attempts"] == told
    assert [(1, "first", 1, 0), (2, "prompt", 1, 5), (3, "prompt", 2, 0)] == [
        (one["attempt"], one["mode"], one["chunks"], one["removed"]) for one in told
    ]
    assert ["chatcmpl-test"] * 3 == [one["id"] for one in told]
    assert ["unknown", "unknown", "reported"] == [one["usage"] for one in told]
    assert ["StreamTruncated", "ServerError", None] == [one["error"] and one["error"].split(":")[0] for one in told]


def test_an_answer_that_is_not_cut_is_as_ever(server: ProviderServer, chat: ChatBuilder) -> None:
    """Not a word about attempts, and the same response as without."""
    server.reply(*chat_answer("Hello", thinking="Hm."), times=4)

    assert chat.get_response() == went_on(chat).result()
    assert list(chat.get_stream().ch) == list(went_on(chat).ch)


def test_a_token_limit_is_an_end_and_no_cut(server: ProviderServer, chat: ChatBuilder) -> None:
    """The answer is as long as was asked for."""
    server.reply(*chat_answer("The quick", finish="length"))
    response = went_on(chat).result()

    assert ("The quick", "length", 1) == (response.text, response.finish_reason, len(server.requests))


# -- usage


def test_usage_is_the_sum(server: ProviderServer) -> None:
    """Of what each attempt reported; Anthropic tells of the prompt at the beginning."""
    answer = anthropic_answer("The", " quick", " brown")
    server.reply(*answer[:5], Close())
    server.reply(*anthropic_answer(" brown", " fox"))
    with Client(Anthropic("k", base_url=server.url), retry_policy=ONCE) as client:
        stream = went_on(client.chat("claude-sonnet-4-5").user("Tell."))
        chunks = list(stream)
        final = stream.result()

    assert (10, 3, "reported") == (final.usage.prompt_tokens, final.usage.completion_tokens, final.usage.source)
    assert final.usage == final.total_usage == final.steps[0].usage == chunks[-1].usage  # type: ignore[union-attr]


def test_usage_of_a_cut_attempt_is_unknown(server: ProviderServer, chat: ChatBuilder) -> None:
    """OpenAI reports it at the end only: nothing is made up for the rest."""
    server.reply(*cut("The"))
    server.reply(*chat_answer(" quick"))
    usage = went_on(chat).result().usage

    assert (5, 1, "reported") == (usage.prompt_tokens, usage.completion_tokens, usage.source)


def test_the_usage_of_what_failed_is_in_the_partial(server: ProviderServer) -> None:
    """Also where no attempt came to its end."""
    answer = anthropic_answer("The", " quick", " brown")
    server.reply(*answer[:5], Close(), times=2)
    with Client(Anthropic("k", base_url=server.url), retry_policy=ONCE) as client:
        error = went_on(client.chat("claude-sonnet-4-5").user("Tell."), max_retries=1).err.get()
        assert error is not None and error.partial is not None
        usage = client.usage

    assert 10 == error.partial.usage.prompt_tokens == error.partial.total_usage.prompt_tokens == usage.prompt_tokens


# -- how to go on


def test_prefill_where_the_provider_takes_it(server: ProviderServer) -> None:
    """The text so far is the beginning of the answer; white space at its end is neither sent nor lost nor doubled."""
    server.reply(*anthropic_answer("The quick", " ")[:5], Close())
    server.reply(*anthropic_answer(" brown fox"))
    with Client(Anthropic("k", base_url=server.url), retry_policy=ONCE) as client:
        stream = went_on(client.chat("claude-sonnet-4-5").user("Tell."))
        assert "The quick brown fox" == "".join(stream.text())
        assert "prefill" == stream.result().response.provider_metadata["attempts"][1]["mode"]

    assert [("user", "Tell."), ("assistant", "The quick")] == messages(server)


@pytest.mark.parametrize(
    ("model", "thinks"), [("claude-opus-4-6", False), ("claude-sonnet-4-5", True), ("claude-sonnet-5", False)]
)
def test_words_where_the_model_takes_no_prefill(model: str, thinks: bool, server: ProviderServer) -> None:
    """Claude since 4.6, and with thinking: what the codec refuses to send is passed over."""
    server.reply(*anthropic_answer("The quick", " brown")[:5], Close())
    server.reply(*anthropic_answer(" fox"))
    with Client(Anthropic("k", base_url=server.url), retry_policy=ONCE) as client:
        chat = client.chat(model).user("Tell.").extended_thinking(thinks)
        response = went_on(chat).result()

    assert ("The quick brown fox", "prompt") == (response.text, last_mode(response))
    assert ["user", "assistant", "user"] == [role for role, _ in messages(server)]


def last_mode(response: ChatResponse) -> str:
    """How the last attempt went on."""
    mode: str = response.response.provider_metadata["attempts"][-1]["mode"]
    return mode


def test_words_where_the_provider_refuses_the_prefill(server: ProviderServer) -> None:
    """A model by a name that says nothing may refuse it: that counts as no retry, and is not tried again."""
    server.reply(*anthropic_answer("The quick", " brown")[:5], Close())
    server.reply(*error_answer(400, {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}))
    server.reply(*anthropic_answer(" fox jumps", " over")[:4], Close())
    server.reply(*anthropic_answer(" over"))
    with Client(Anthropic("k", base_url=server.url), retry_policy=ONCE) as client:
        response = went_on(client.chat("best").user("Tell."), max_retries=2).result()
    told = response.response.provider_metadata["attempts"]

    assert "The quick brown fox jumps over" == response.text
    assert ["first", "prefill", "prompt", "prompt"] == [one["mode"] for one in told]


def test_mistral_says_its_prefill_again(server: ProviderServer) -> None:
    """The whole of it, before what is new; it may come in any pieces."""
    server.reply(*cut("The quick", " brown "))
    server.reply(*chat_answer("The qu", "ick brown", " fo", "x"))
    with Client(Mistral("k", base_url=server.base_url), retry_policy=ONCE) as client:
        assert "The quick brown fox" == went_on(client.chat("mistral-large-latest").user("Tell.")).result().text

    assert {"role": "assistant", "content": "The quick brown", "prefix": True} == server.requests[1].json()["messages"][
        -1
    ]


def background(server: ProviderServer) -> ChatBuilder:
    """A question whose answer the provider keeps."""
    provider = OpenAIResponses("sk-test", base_url=server.base_url)
    kept = {"background": True, "store": True}
    return Client(provider, retry_policy=ONCE).chat("gpt-4o").user("Tell.").provider_options(kept)


@pytest.mark.parametrize("cut_at", range(2, 9))
def test_a_background_answer_is_read_again(cut_at: int, server: ProviderServer) -> None:
    """It is the same answer: found by its id, whatever of it came before is left out, thinking, too."""
    answer = responses_answer("The", " quick", " fox", thinking="Hm, a fox.")
    server.reply(*answer[:cut_at], Close())
    server.reply(*answer)
    stream = went_on(background(server))
    chunks = list(stream)
    final = stream.result()

    assert ("The quick fox", "Hm, a fox.") == (final.text, final.thinking)
    assert list(range(len(chunks))) == [chunk.index for chunk in chunks]
    assert "Hm, a fox.The quick fox" == "".join(chunk.content for chunk in chunks)
    assert ("POST", "GET") == tuple(request.method for request in server.requests)
    assert "/v1/responses/resp_test?stream=true" == server.requests[1].path
    assert "Bearer sk-test" == server.requests[1].headers["authorization"]
    assert ("native", 3) == (last_mode(final), final.usage.completion_tokens)


def test_a_background_answer_that_is_gone(server: ProviderServer) -> None:
    """It is not kept for ever: then the rest is asked for in words."""
    answer = responses_answer("The", " quick", " fox")
    server.reply(*answer[:5], Close())
    server.reply(*error_answer(404, "not found"))
    server.reply(*responses_answer(" fox"))
    response = went_on(background(server)).result()

    assert ("The quick fox", "prompt") == (response.text, last_mode(response))


WIRES: dict[str, tuple[Callable[[ProviderServer], Any], Callable[..., Any], int]] = {
    "chat": (lambda server: OpenAI("k", base_url=server.base_url), chat_answer, 3),
    "responses": (lambda server: OpenAIResponses("k", base_url=server.base_url), responses_answer, 4),
    "anthropic": (lambda server: Anthropic("k", base_url=server.url), anthropic_answer, 4),
    "gemini": (lambda server: Gemini("k", base_url=server.url), gemini_answer, 2),
    "cohere": (lambda server: Cohere("k", base_url=server.url), cohere_answer, 4),
    "ollama": (lambda server: Ollama(base_url=server.url), ollama_answer, 2),
}


@pytest.mark.parametrize("wire", WIRES)
def test_on_every_wire_an_answer_goes_on_in_words(wire: str, server: ProviderServer) -> None:
    """The question, the answer so far and the wish to go on are in the request, whatever its form."""
    provider, answer, at = WIRES[wire]
    server.reply(*answer("The quick brown", "!")[:at], Close())
    server.reply(*answer("brown fox"))
    with Client(provider(server), retry_policy=ONCE) as client:
        stream = went_on(client.chat("a-model").system("Be brief.").user("Tell me."), mode="prompt")
        assert "The quick brown fox" == "".join(stream.text()) == stream.result().text
    sent = server.requests[1].body.decode()
    prompt = "Continue from where you left off. You were writing:\\n---\\nThe quick brown\\n---\\nContinue immediately"

    assert [] == [text for text in ("Be brief.", "Tell me.", "The quick brown", prompt) if text not in sent]


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("native", "openai: it keeps no answers that could be read again: use mode='prompt' or 'auto'"),
        ("prefill", "openai: it goes on with no answer that was begun: use mode='prompt'"),
        ("best", "mode='best': use one of auto, native, prefill, prompt"),
    ],
)
def test_a_mode_that_cannot_be_had(mode: Any, says: str, server: ProviderServer, chat: ChatBuilder) -> None:
    """It is refused before anything is sent, by both functions."""
    for ask in (lambda: stream_with_retry(chat, mode=mode), lambda: resume(chat, StreamState(), mode=mode)):
        with pytest.raises(ConfigError) as raised:
            ask()

        assert says == str(raised.value)
    assert [] == server.requests


def test_modes_that_this_model_or_request_cannot_have(server: ProviderServer) -> None:
    """Claude since 4.6 takes no prefill; an answer that was not asked for in the background is not kept."""
    with (
        Client(Anthropic("k", base_url=server.url)) as client,
        pytest.raises(ConfigError, match="claude-opus-4-6 goes"),
    ):
        stream_with_retry(client.chat("claude-opus-4-6").user("Hi"), mode="prefill")
    with Client(OpenAIResponses("k", base_url=server.url)) as client, pytest.raises(ConfigError, match="background"):
        stream_with_retry(client.chat("gpt-5").user("Hi"), mode="native")

    assert [] == server.requests


def test_a_mode_is_kept_to(server: ProviderServer) -> None:
    """Asked for the prompt, it is taken also where a prefill could be had."""
    server.reply(*anthropic_answer("The quick", " brown")[:5], Close())
    server.reply(*anthropic_answer(" fox"))
    with Client(Anthropic("k", base_url=server.url), retry_policy=ONCE) as client:
        response = went_on(client.chat("claude-sonnet-4-5").user("Tell."), mode="prompt").result()

    assert ("The quick brown fox", "prompt") == (response.text, last_mode(response))


@pytest.mark.parametrize("fallback_takes_it", [True, False])
def test_with_a_model_to_fall_back_on(fallback_takes_it: bool, server: ProviderServer) -> None:
    """A prefill is sent only where each of the models takes it."""
    other = Mistral("k", base_url=server.base_url) if fallback_takes_it else OpenAI("k", base_url=server.base_url)
    server.reply(*cut("The quick", " brown"))
    server.reply(*chat_answer(" fox"))
    with (
        Client(other) as second,
        Client(Mistral("k", base_url=server.base_url), retry_policy=ONCE, fallback=[second.model("m")]) as client,
    ):
        response = went_on(client.chat("mistral-large-latest").user("Tell.")).result()

    assert ("The quick brown fox", "prefill" if fallback_takes_it else "prompt") == (response.text, last_mode(response))


# -- before there is text


def test_a_cut_before_any_text_asks_again(server: ProviderServer, chat: ChatBuilder) -> None:
    """The same request; thinking that was shown stays, and the seam shows that it is thought anew."""
    server.reply(Status(), Event({"choices": [{"index": 0, "delta": {"reasoning_content": "A fox?"}}]}), Close())
    server.reply(*chat_answer("The fox", thinking="A quick fox."))
    stream = went_on(chat)
    chunks = list(stream)

    assert server.requests[0].body == server.requests[1].body
    assert [("A fox?", None), ("A quick fox.", "again"), ("The fox", None)] == [
        (chunk.content, chunk.metadata.get("resumed", {}).get("mode")) for chunk in chunks[:3]
    ]
    assert ("The fox", "A fox?A quick fox.") == (stream.result().text, stream.result().thinking)


def test_signed_thinking_stays_apart(server: ProviderServer) -> None:
    """What goes back to the provider is the thinking that its signature is of."""
    answer = anthropic_answer("The fox", thinking="A fox.")
    server.reply(*answer[:4], Close())
    server.reply(*answer)
    with Client(Anthropic("k", base_url=server.url), retry_policy=ONCE) as client:
        response = went_on(client.chat("claude-sonnet-4-5").user("Tell.").extended_thinking()).result()
    parts = [(part.text, part.signature) for part in response.messages[0].content[:2]]  # type: ignore[union-attr]

    assert [("A fox.", None), ("A fox.", "dGVzdA==")] == parts


def test_white_space_is_no_text(server: ProviderServer, chat: ChatBuilder) -> None:
    """There is nothing in it to go on with; what comes of it again is left out."""
    server.reply(*cut("\n", "\n"))
    server.reply(*chat_answer("\n\nThe fox"))
    response = went_on(chat).result()

    assert ("\n\nThe fox", "again") == (response.text, last_mode(response))


def test_an_answer_that_does_not_open_is_asked_for_again(server: ProviderServer, chat: ChatBuilder) -> None:
    """Beside the client's own retries, of which there are none here."""
    server.reply(*error_answer(503))
    server.reply(Reset())
    server.reply(*chat_answer("The fox"))
    response = went_on(chat, max_retries=2).result()

    assert ("The fox", 3) == (response.text, len(server.requests))


def test_the_clients_own_retries_count_by_themselves(server: ProviderServer) -> None:
    """One retry of each opening, and one of the whole."""
    server.reply(*error_answer(503))
    server.reply(*cut("The"))
    server.reply(*error_answer(503))
    server.reply(*chat_answer(" fox"))
    with client_of(server, retry_policy=RetryPolicy(max_retries=1, initial_interval=0)) as client:
        stream = stream_with_retry(client.chat("gpt-4o").user("Tell."), max_retries=1)
        assert "The fox" == stream.result().text

    assert 4 == len(server.requests) == stream.stats.attempts


# -- errors


CUTS: dict[str, tuple[tuple[Any, ...], type[StreamKitError]]] = {
    "reset": ((Reset(),), ConnectionLost),
    "closed": ((Close(),), StreamTruncated),
    "server": ((error_event("broken"), Close()), ServerError),
    "overloaded": ((error_event("busy", code="503"), Close()), Overloaded),
}


@pytest.mark.parametrize("how", CUTS)
def test_what_may_pass_is_continued(how: str, server: ProviderServer, chat: ChatBuilder) -> None:
    """Also what the provider reports in the middle of an answer."""
    script, kind = CUTS[how]
    told: list[StreamKitError] = []
    gate = Gate()  # a reset may take along what was not read yet
    server.reply(*cut("The quick", by=(Wait(gate), *script)))
    server.reply(*chat_answer(" fox"))
    watched = chat.hooks(Hooks(on_chunk=lambda chunk: gate.set()))

    assert "The quick fox" == went_on(watched, on_resume=lambda state, error: told.append(error)).result().text
    assert [kind] == [type(error) for error in told]


@pytest.mark.parametrize(
    "script",
    [
        (error_event("no", type="invalid_request_error"), Close()),
        (error_event("key", type="authentication_error"), Close()),
        (error_event("long", code="context_length_exceeded"), Close()),
        (error_event("bad", code="content_filter"), Close()),
        (Event("{no json"), Close()),
    ],
)
def test_what_will_not_pass_ends_it(script: Script, server: ProviderServer, chat: ChatBuilder) -> None:
    """At once, as the error it is, with all that came."""
    server.reply(*cut("The quick", by=script))
    error = went_on(chat).err.get()

    assert error is not None and error.partial is not None
    assert not isinstance(error, RetriesExhausted)
    assert ("The quick", 1) == (error.partial.text, len(server.requests))


def test_a_refusal_while_going_on_ends_it(server: ProviderServer, chat: ChatBuilder) -> None:
    """A key may expire meanwhile."""
    server.reply(*cut("The quick"))
    server.reply(*error_answer(401, "expired"))
    error = went_on(chat).err.get()

    assert isinstance(error, Unauthorized) and error.partial is not None
    assert "The quick" == error.partial.text


def test_a_refusal_of_the_first_request_is_raised(server: ProviderServer, chat: ChatBuilder) -> None:
    """Set-up errors are, as everywhere."""
    server.reply(*error_answer(400, "no"))
    with pytest.raises(BadRequest):
        went_on(chat)

    assert 1 == len(server.requests)


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_it_gives_up(retries: int, server: ProviderServer, chat: ChatBuilder) -> None:
    """After so many retries; the error has all the text, the last error, and the state to go on from."""
    server.reply(*cut("The"))
    for word in (" quick", " brown", " fox")[:retries]:
        server.reply(*cut(word, by=(error_event("broken"), Close())))
    error = went_on(chat, max_retries=retries).err.get()
    text = "The quick brown fox"[: 3 + 6 * (retries > 0) + 10 * (retries > 1)]

    assert isinstance(error, RetriesExhausted) and error.partial is not None and error.last is not None
    assert f"max retries exceeded: {error.last}" == str(error)
    assert error.__cause__ is error.last
    assert type(error.last) is (ServerError if retries else StreamTruncated)
    assert error.partial.text == error.last.partial.text == error.state.partial_content == text  # type: ignore[union-attr]
    assert (retries + 1,) * 4 == (len(server.requests), error.attempts, error.state.attempts, error.state.token_count)
    assert error.state == StreamState.of(error)
    assert error.retryable


def test_it_gives_up_before_anything_is_open(server: ProviderServer, chat: ChatBuilder) -> None:
    """Then that is raised."""
    server.reply(*error_answer(503), times=3)
    with pytest.raises(RetriesExhausted, match="max retries exceeded: openai: 503") as raised:
        went_on(chat, max_retries=2)

    assert (3, "") == (raised.value.attempts, raised.value.state.partial_content)


def test_what_is_held_back_when_it_gives_up_is_there(server: ProviderServer, chat: ChatBuilder) -> None:
    """What might have been a repetition passes, as nothing more comes that could decide."""
    server.reply(*cut("The quick brown fox jumps over"))
    server.reply(*cut(" quick brown"))
    stream = went_on(chat, max_retries=1)
    text = "".join(chunk.content for chunk in stream.ch)
    error = stream.err.get()

    assert "The quick brown fox jumps over quick brown" == text
    assert isinstance(error, RetriesExhausted) and error.partial is not None
    assert text == error.partial.text == error.state.partial_content


def test_what_was_held_back_when_it_is_cut_again_is_written_again(server: ProviderServer, chat: ChatBuilder) -> None:
    """It had not passed, so the model is not told of it."""
    server.reply(*cut("The quick brown fox jumps over"))
    server.reply(*cut(" quick brown"))
    server.reply(*chat_answer(" the dog"))

    assert "The quick brown fox jumps over the dog" == went_on(chat).result().text
    assert ("assistant", "The quick brown fox jumps over") == messages(server)[-2]


def test_a_tool_call_that_had_begun_is_not_continued(server: ProviderServer, chat: ChatBuilder) -> None:
    """It might be made twice: the error stands, and the state refuses, too."""
    tool = {"name": "look", "parameters": {"type": "object", "properties": {}}}
    server.reply(*chat_answer("Let me", tool_calls=[("look", {"at": "it"})])[:5], Close())
    error = went_on(chat.tools([tool])).err.get()

    assert isinstance(error, StreamTruncated) and error.partial is not None
    assert (1, False) == (len(server.requests), error.partial.tool_calls[0].complete)
    with pytest.raises(ConfigError, match="had begun a tool call"):
        resume(chat, error)
    with pytest.raises(ConfigError, match="had begun a tool call"):
        stream_with_retry(chat, state=StreamState.of(error))


def test_with_tools_a_text_goes_on(server: ProviderServer, chat: ChatBuilder) -> None:
    """As long as no call has begun; one that comes then is reported once."""
    tool = {"name": "look", "parameters": {"type": "object", "properties": {}}}
    server.reply(*cut("Let me"))
    server.reply(*chat_answer(" look.", tool_calls=[("look", {})]))
    response = went_on(chat.tools([tool])).result()

    assert ("Let me look.", ["look"]) == (response.text, [call.name for call in response.tool_calls])


def test_an_answer_in_a_json_form_is_not_continued(server: ProviderServer, chat: ChatBuilder) -> None:
    """Held to the form the rest would be a document by itself: the error stands."""
    server.reply(*cut('{"fox": '))
    error = went_on(chat.response_format("json")).err.get()

    assert isinstance(error, StreamTruncated)
    assert 1 == len(server.requests)
    with pytest.raises(ConfigError, match="in a JSON form cannot be gone on with"):
        resume(chat.response_format("json"), error)


def test_retries_are_counted_in_whole_numbers(chat: ChatBuilder) -> None:
    """Anything else is refused."""
    for wrong in (-1, 1.5, None):
        with pytest.raises(ConfigError, match=f"max_retries={wrong}"):
            stream_with_retry(chat, max_retries=wrong)  # type: ignore[arg-type]


def test_what_can_be_asked_again_and_gone_on_with(chat: ChatBuilder) -> None:
    """A builder, not a stream; a state, not the name of its file."""
    with pytest.raises(ConfigError, match="ChatResponse cannot be asked again: give what opens it"):
        stream_with_retry(ChatResponse())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"str is no state: give a StreamState, such as StreamState\.load\(path\)"):
        stream_with_retry(chat, state="story.json")  # type: ignore[arg-type]


# -- waiting


def test_the_policy_and_the_server_say_how_long_to_wait(server: ProviderServer, chat: ChatBuilder) -> None:
    """Where the server asks for more than the policy allows, the error stands."""
    server.reply(*cut("The"))
    server.reply(*error_answer(429, "later", {"Retry-After": "61"}))
    error = went_on(chat).err.get()

    assert type(error).__name__ == "RateLimited"
    assert 2 == len(server.requests)


def test_a_wait_beyond_the_deadline_is_not_begun(server: ProviderServer, chat: ChatBuilder) -> None:
    """The error stands, at once."""
    server.reply(*cut("The"))
    server.reply(*error_answer(503, "later", {"Retry-After": "30"}))
    stream = went_on(chat, ctx=Context(timeout=20))

    assert isinstance(stream.err.get(timeout=10), Overloaded)


# -- observers


def test_who_is_told(server: ProviderServer, chat: ChatBuilder, caplog: pytest.LogCaptureFixture) -> None:
    """`on_resume` before each retry, whatever it raises; requests and responses one each, the end once."""
    told: list[str] = []
    states: list[StreamState] = []

    def note(name: str) -> Callable[[Any], object]:
        return lambda value: told.append(name)

    def on_resume(state: StreamState, error: StreamKitError) -> None:
        told.append("resume")
        states.append(state)
        raise ValueError("of the observer")

    names = ("on_request", "on_response", "on_step_finish", "on_finish", "on_error", "on_retry")
    server.reply(*cut("The", " quick"))
    server.reply(*cut(" brown"))
    server.reply(*chat_answer(" fox"))
    with caplog.at_level(logging.ERROR, "streamkit"):
        watched = chat.hooks(Hooks(**{name: note(name) for name in names}))
        assert "The quick brown fox" == went_on(watched, on_resume=on_resume).result().text

    once = ["on_request", "on_response"]
    assert [*once, "resume", *once, "resume", "on_request", "on_step_finish", "on_response", "on_finish"] == told
    assert [("The quick", 2, 1), ("The quick brown", 3, 2)] == [
        (state.partial_content, state.token_count, state.attempts) for state in states
    ]
    assert 2 == caplog.text.count("ValueError: of the observer")


def test_the_steps_that_observers_see_are_whole(server: ProviderServer, chat: ChatBuilder) -> None:
    """One step, with all the text and the sum."""
    steps: list[Any] = []
    server.reply(*cut("The"))
    server.reply(*chat_answer(" fox"))
    final = went_on(chat.hooks(Hooks(on_step_finish=steps.append))).result()

    assert list(final.steps) == steps


# -- resume


def test_an_answer_is_resumed(server: ProviderServer, chat: ChatBuilder) -> None:
    """Only what is new passes; the response, and the partial one, are the whole."""
    server.reply(*cut("The quick", " brown"))
    error = chat.get_stream().err.get()
    assert error is not None
    server.reply(*chat_answer("brown fox", " jumps"))
    stream = resume(chat, error)
    chunks = list(stream.ch)
    final = stream.result()

    assert [" fox", " jumps", ""] == [chunk.content for chunk in chunks]
    assert [0, 1, 2] == [chunk.index for chunk in chunks]
    assert (2, "prompt") == (chunks[0].metadata["resumed"]["attempt"], chunks[0].metadata["resumed"]["mode"])
    assert (
        "The quick brown fox jumps"
        == final.text
        == final.steps[0].text
        == final.messages[0].text
        == stream.partial.text
    )
    assert ["earlier", "prompt"] == [one["mode"] for one in final.response.provider_metadata["attempts"]]


@pytest.mark.parametrize("given", ["state", "response", "error"])
def test_what_it_resumes_from(given: str, server: ProviderServer, chat: ChatBuilder) -> None:
    """A state, a partial response, an error: the usage that is known counts with the new one's."""
    known = Usage(prompt_tokens=7, completion_tokens=2, total_tokens=9, source="reported")
    partial = ChatResponse(text="The quick", total_usage=known)
    sources: dict[str, Any] = {
        "state": StreamState(partial_content="The quick", usage=known),
        "response": partial,
        "error": ConnectionLost("gone", partial=partial),
    }
    server.reply(*chat_answer(" fox"))
    usage = resume(chat, sources[given]).result().usage

    assert (12, 3, 15) == (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)


def test_nothing_known_is_asked_from_the_beginning(server: ProviderServer, chat: ChatBuilder) -> None:
    """As is an error that came before anything."""
    server.reply(*chat_answer("The fox"), times=2)

    assert "The fox" == resume(chat, StreamState()).result().text
    assert "The fox" == resume(chat, ConnectionLost("gone")).result().text
    assert {2} == {len(request.json()["messages"]) for request in server.requests}


def test_it_resumes_once(server: ProviderServer, chat: ChatBuilder) -> None:
    """Cut again, its error is what it was, with all that came; and that can be resumed."""
    server.reply(*cut(" fox"))
    error = resume(chat, StreamState(partial_content="The quick", attempts=4)).err.get()
    assert type(error) is StreamTruncated and error.partial is not None
    server.reply(*chat_answer(" jumps"))
    final = resume(chat, error).result()

    assert "The quick fox" == error.partial.text
    assert "The quick fox jumps" == final.text
    assert [5, 6] == [one["attempt"] for one in final.response.provider_metadata["attempts"]]


def test_what_cannot_be_resumed(chat: ChatBuilder) -> None:
    """A whole answer, and one of several steps: it says what to do instead."""
    step = Step(
        text="",
        thinking="",
        tool_calls=(),
        tool_results=(),
        usage=Usage(),
        finish_reason="",
        response=ChatResponse().response,
        provider_metadata={},
    )
    with pytest.raises(ConfigError, match="is complete: there is nothing to resume"):
        resume(chat, ChatResponse(text="The fox.", complete=True))
    with pytest.raises(ConfigError, match="is complete: there is nothing to resume"):
        stream_with_retry(chat, state=StreamState.of(ChatResponse(text="The fox.", complete=True)))
    with pytest.raises(ConfigError, match=r"has several steps.*\.messages\(partial\.messages\)"):
        resume(chat, ConnectionLost("gone", partial=ChatResponse(steps=(step, step))))


def test_a_stream_with_retry_goes_on_from_a_state(server: ProviderServer, chat: ChatBuilder) -> None:
    """Only what is new passes, and it goes on by itself from there."""
    server.reply(*cut(" brown"))
    server.reply(*chat_answer(" fox"))
    state = StreamState(partial_content="The quick", token_count=2, attempts=1)
    stream = went_on(chat, state=state)

    assert [" brown", " fox"] == list(stream.text())
    assert "The quick brown fox" == stream.result().text
    assert (5, 3) == (StreamState.of(stream).token_count, StreamState.of(stream).attempts)


def test_a_background_answer_is_resumed_by_its_id(server: ProviderServer) -> None:
    """Also in another process, where only the text of it is known."""
    server.reply(*responses_answer("The", " quick", " fox", thinking="Hm."))
    state = StreamState(partial_content="The qu", response_id="resp_test")
    stream = resume(background(server), state, mode="native")

    assert ["ick", " fox"] == list(stream.text())
    assert ("The quick fox", "") == (stream.result().text, stream.result().thinking)


# -- with the others


def test_it_composes(server: ProviderServer, chat: ChatBuilder) -> None:
    """Smoothed and divided, text, usage and attempts are what they were."""
    server.reply(*cut("The quick", " brown"))
    server.reply(*chat_answer("brown fox"))
    first, second = tee(went_on(chat))
    text = "".join(smooth(first, 0.001).text())

    assert "The quick brown fox" == text == collect(second).text
    assert 6 == second.result().usage.total_tokens
    assert 2 == len(second.result().response.provider_metadata["attempts"])


def test_its_error_composes(server: ProviderServer, chat: ChatBuilder) -> None:
    """The error, its state and all that came reach every branch."""
    server.reply(*cut("The quick"))
    server.reply(*cut(" brown"))
    first, second = tee(went_on(chat, max_retries=1))
    smoothed = smooth(first, 0.001)
    error = smoothed.err.get()

    assert isinstance(error, RetriesExhausted) and error.partial is not None
    assert "The quick brown" == error.partial.text == error.state.partial_content
    assert type(second.err.get()) is RetriesExhausted


def test_a_cancelled_context_asks_nothing(server: ProviderServer, chat: ChatBuilder) -> None:
    """It is refused before."""
    ctx = Context()
    ctx.cancel()
    with pytest.raises(Cancelled):
        stream_with_retry(chat, ctx=ctx)

    assert [] == server.requests


# -- the real model


@pytest.mark.model
@pytest.mark.slow
def test_the_small_model_goes_on_with_its_answer() -> None:
    """It takes the text so far as the beginning of its answer, and says none of it again."""
    provider = Local()
    with Client(provider) as client:
        chat = (
            client.chat(provider.default_model).user("Tell me three facts about foxes.").temperature(0).max_tokens(60)
        )
        begun = " ".join(chat.get_response().text.split(" ")[:15])
        resumed = resume(chat, StreamState(partial_content=begun))
        new = "".join(resumed.text())

    assert begun + new == resumed.result().text
    assert "prefill" == last_mode(resumed.result())
    assert len(new) > 100
    assert begun[:20] not in new[:100]


# -- cut anywhere


def continuing(text: str, goes_on: Callable[[str, str], str]) -> Callable[[ReceivedRequest], Script]:
    """A model that goes on from what it is sent: `goes_on` is given that, and the rest, and says what it says."""

    def answer(request: ReceivedRequest) -> Script:
        *_, message, last = [("", ""), *((m["role"], text_of(m["content"])) for m in request.json()["messages"])]
        begun = last[1] if last[0] == "assistant" else message[1] if message[0] == "assistant" else ""
        said = goes_on(begun, text[len(begun) :])
        return (anthropic_answer if "/messages" in request.path else chat_answer)(*pieces(said, 3))

    return answer


WAYS: dict[str, Callable[[str, str], str]] = {
    "exactly": lambda begun, rest: rest,
    "from the beginning": lambda begun, rest: begun + rest if len(begun.split()) > 3 else rest,
    "the last characters": lambda begun, rest: (begun[-20:] if len(begun) >= 20 else "") + rest,
    "with other white space": lambda begun, rest: (
        "\n".join(begun[-30:].split()) + rest if len(begun) > 30 and begun[-1:].strip() else rest
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_cut_after_any_character(way: str, server: ProviderServer, chat: ChatBuilder) -> None:
    """Wherever an answer is cut, the text is the whole, and so is what the chunks bring."""
    for at in range(1, len(TEXT), 2):
        server.reply(*cut(*pieces(TEXT[:at], 5)))
        server.reply(continuing(TEXT, WAYS[way]))
        stream = went_on(chat)

        assert TEXT == "".join(stream.text()) == stream.result().text, f"cut after {TEXT[:at]!r}"


@pytest.mark.slow
def test_cut_after_any_byte(server: ProviderServer, chat: ChatBuilder) -> None:
    """Of the answer as it is sent: within an event, a character, the head of a chunk."""
    answer = chat_answer(*pieces(TEXT[:60], 6), thinking="Hm.", model="m")
    body = b"".join(step.encode() for step in answer if isinstance(step, Event))
    whole = body.index(b'"finish_reason":"stop"')
    server.reply(continuing(TEXT[:60], WAYS["exactly"]), times=None)
    for at in range(0, whole, 7):
        server.reply(Status(framing="close"), Send(body[:at]), Close())
        stream = went_on(chat)

        assert TEXT[:60] == "".join(stream.text()) == stream.result().text, f"cut after {at} bytes"


@pytest.mark.slow
@pytest.mark.parametrize("again", [True, False])
def test_a_prefilled_answer_cut_after_any_character(again: bool, server: ProviderServer) -> None:
    """For a provider that says what it was sent again, and one that does not."""

    def goes_on(begun: str, rest: str) -> str:
        return begun + rest if again else rest

    provider = Mistral("k", base_url=server.base_url) if again else Anthropic("k", base_url=server.url)
    answer = chat_answer if again else anthropic_answer
    with Client(provider, retry_policy=ONCE) as client:
        for at in range(1, len(TEXT), 2):
            texts = pieces(TEXT[:at], 5)
            server.reply(*answer(*texts)[: len(texts) + (2 if again else 3)], Close())
            server.reply(continuing(TEXT, goes_on))
            stream = went_on(client.chat("a-model").user("Tell."))

            assert TEXT == "".join(stream.text()) == stream.result().text, f"cut after {TEXT[:at]!r}"
            assert "prefill" == last_mode(stream.result())
