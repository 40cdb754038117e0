"""Reading an answer once more that its provider has kept."""

from __future__ import annotations

import pytest

from streamkit import Client, ConfigError
from streamkit.call import Call
from streamkit.loops.reattach import reattached
from streamkit.providers import OpenAI, OpenAIResponses

BACKGROUND = {"background": True, "store": True}


def call(client: Client) -> Call:
    """A call for a background answer."""
    made = client.chat("gpt-5").user("Hi").provider_options(BACKGROUND).call(index=3)
    assert isinstance(made, Call)
    return made


def test_the_call_asks_for_the_same_answer() -> None:
    """It is the call that it was, but for what it sends."""
    with Client(OpenAIResponses("sk-test")) as client:
        asked = reattached(call(client), "resp_1")
        sent = asked.provider.codec.encode(asked.request, asked.provider)

        assert ("GET", "https://api.openai.com/v1/responses/resp_1?stream=true") == (sent.method, sent.url)
        assert ("openai-responses", 3) == (asked.provider.name, asked.index)
        assert type(client.provider.codec.decoder(asked.request, asked.provider)) is type(
            asked.provider.codec.decoder(asked.request, asked.provider)
        )
        asked.check()


def test_others_keep_nothing() -> None:
    """It says who, and what to do instead."""
    with (
        Client(OpenAI("sk-test")) as client,
        pytest.raises(ConfigError, match=r"openai: it keeps no answers .* use mode"),
    ):
        reattached(call(client), "resp_1")


def test_an_answer_that_was_not_kept() -> None:
    """It was not asked for in the background: `check` says what that takes."""
    with Client(OpenAIResponses("sk-test")) as client:
        asked = client.chat("gpt-5").user("Hi").call()
        assert isinstance(asked, Call)
        with pytest.raises(ConfigError, match=r'provider_options\({"background": True, "store": True}\)'):
            reattached(asked, "resp_1").check()
