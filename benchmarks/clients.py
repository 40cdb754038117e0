"""streamkit and its peers behind one face, each used as its own documentation shows.

Each imports its package when it is made, so that a process that starts with one of them pays for that one only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

__all__ = ["Client", "Naive", "OpenAISDK", "Streamkit", "client_named"]

MODEL = "gpt-4o"
PROMPT = "Tell me a story"


class Client(Protocol):
    """One client with its pool of connections, for any number of calls."""

    def read(self) -> str:
        """Ask, and give the text of the whole answer."""

    def texts(self) -> Iterator[str]:
        """Ask, and give each piece of text as it comes."""


class Streamkit:
    """The client of this project."""

    def __init__(self, url: str) -> None:
        from streamkit import Client
        from streamkit.providers import OpenAI

        self._chat = Client(OpenAI(api_key="sk-benchmark", base_url=url)).chat(MODEL).user(PROMPT)

    def read(self) -> str:
        """Ask, and give the text of the whole answer."""
        stream = self._chat.get_stream()
        texts = [chunk.content for chunk in stream.ch]
        if (err := stream.err.get()) is not None:
            raise err
        return "".join(texts)

    def texts(self) -> Iterator[str]:
        """Ask, and give each piece of text as it comes."""
        stream = self._chat.get_stream()
        for chunk in stream.ch:
            if chunk.content:
                yield chunk.content
        if (err := stream.err.get()) is not None:
            raise err


class OpenAISDK:
    """OpenAI's own package."""

    def __init__(self, url: str) -> None:
        import openai

        self._create = openai.OpenAI(api_key="sk-benchmark", base_url=url).chat.completions.create

    def read(self) -> str:
        """Ask, and give the text of the whole answer."""
        return "".join(
            chunk.choices[0].delta.content for chunk in self._ask() if chunk.choices and chunk.choices[0].delta.content
        )

    def texts(self) -> Iterator[str]:
        """Ask, and give each piece of text as it comes."""
        for chunk in self._ask():
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    def _ask(self) -> Any:
        return self._create(model=MODEL, messages=[{"role": "user", "content": PROMPT}], stream=True)


class Naive:
    """The loop that one writes first: requests, sseclient-py as its README shows it, and json."""

    def __init__(self, url: str) -> None:
        import requests
        import sseclient

        self._url = f"{url}/chat/completions"
        self._session = requests.Session()
        self._events = sseclient.SSEClient

    def read(self) -> str:
        """Ask, and give the text of the whole answer."""
        texts = []
        for event in self._events(self._ask()).events():
            if event.data == "[DONE]":
                break
            content = json.loads(event.data)["choices"][0]["delta"].get("content")
            if content:
                texts.append(content)
        return "".join(texts)

    def texts(self) -> Iterator[str]:
        """Ask, and give each piece of text as it comes."""
        for event in self._events(self._ask()).events():
            if event.data == "[DONE]":
                break
            content = json.loads(event.data)["choices"][0]["delta"].get("content")
            if content:
                yield content

    def _ask(self) -> Any:
        return self._session.post(
            self._url,
            json={"model": MODEL, "messages": [{"role": "user", "content": PROMPT}], "stream": True},
            headers={"Accept": "text/event-stream", "Authorization": "Bearer sk-benchmark"},
            stream=True,
        )


def client_named(name: str, url: str) -> Client:
    """Make the client of this name: "streamkit", "openai" or "naive"."""
    return _CLIENTS[name](url)


_CLIENTS: dict[str, type[Streamkit] | type[OpenAISDK] | type[Naive]] = {
    "streamkit": Streamkit,
    "openai": OpenAISDK,
    "naive": Naive,
}
