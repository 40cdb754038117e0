"""A server that looks at what a request asks for, and answers that: for programs that ask in an order of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamkit.testing import ProviderServer, Script, Wire, chat_answer
from streamkit.testing.steps import compact_json

__all__ = ["AnsweringServer", "sample"]


class AnsweringServer(ProviderServer):
    """An OpenAI that calls the first tool offered once, gives an object where one is asked for, and else says this."""

    def __init__(self, *texts: str, thinking: str = "") -> None:
        super().__init__()
        self._plain = chat_answer(*texts, thinking=thinking)

    def serve(self, wire: Wire) -> None:
        """Answer the requests of one connection, one after the other."""
        while not wire.closed:
            request = wire.read_request()
            self.record(request)
            wire.answer(request, _answer(request.json()) or self._plain)


def sample(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    """Give a value that fits a JSON Schema of those that classes and functions have."""
    if "$ref" in schema:
        return sample(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return sample(schema["anyOf"][0], definitions)
    kind = schema["type"]
    if kind == "object":
        return {name: sample(member, definitions) for name, member in schema.get("properties", {}).items()}
    if kind == "array":
        return [sample(schema["items"], definitions)] * 2
    return {"string": "Hello", "integer": 1, "number": 0.5, "boolean": True}[kind if isinstance(kind, str) else kind[0]]


def _answer(asked: Mapping[str, Any]) -> Script | None:
    called = any(message["role"] == "tool" for message in asked["messages"])
    if asked.get("tools") and not called:
        function = asked["tools"][0]["function"]
        return chat_answer(tool_calls=[(function["name"], _object(function["parameters"]))])
    form = asked.get("response_format", {})
    if form.get("type") == "json_schema":
        return chat_answer(*_pieces(compact_json(_object(form["json_schema"]["schema"]))))
    return None


def _object(schema: Mapping[str, Any]) -> Any:
    return sample(schema, schema.get("$defs", {}))


def _pieces(text: str) -> list[str]:
    return [text[at : at + 4] for at in range(0, len(text), 4)]
