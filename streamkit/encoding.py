"""What every codec does to put a request into its provider's words.

`post` makes the HTTP request, with the user's headers checked, and `get` the one for a list of models; `merged` gives
`provider_options` the last word; `objections` says what the provider cannot do, by its `Capabilities`; `CallIds` gives
tool calls the ids that an API demands, `call_input` their arguments as an object, `result_text` what came of them.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from streamkit.codec import Capabilities, HttpRequest
from streamkit.errors import ConfigError, printable
from streamkit.jsontext import parse_arguments, scrub
from streamkit.schema import StrictRules, offences
from streamkit.types.messages import FilePart, ImagePart, ToolCallPart, ToolResultPart
from streamkit.types.request import ChatRequest, ResponseFormat, Tool
from streamkit.types.secret import Secret

__all__ = [
    "CallIds",
    "bearer",
    "call_input",
    "function_tool",
    "get",
    "image_objections",
    "merged",
    "objections",
    "post",
    "result_text",
]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # what a header's name may be: RFC 9110, section 5.6.2
_CREDENTIALS = frozenset({"authorization", "api-key", "cookie", "proxy-authorization", "x-api-key", "x-goog-api-key"})
_FRAMING = frozenset({"content-length", "transfer-encoding"})


def post(
    url: str,
    body: Mapping[str, Any],
    *,
    headers: Mapping[str, str] | None = None,
    secrets: Mapping[str, Secret] | None = None,
    own: Mapping[str, str] | None = None,
) -> HttpRequest:
    """Give the POST of a JSON body that asks for an event stream; the same bytes for each attempt.

    `headers` and `secrets` are the codec's, `own` the user's. The user's win over `headers`, whatever their case. One
    that carries a credential goes into `secrets`, so that it prints as [REDACTED].

    Raises:
        ConfigError: `body` is not JSON (NaN and infinity are none); a header of the user's cannot be sent, says how
            long the body is, or would replace the key.
    """
    sent = {
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",
        **(headers or {}),
    }
    kept = dict(secrets or {})
    for name, value in (own or {}).items():
        _check_header(name, kept)
        sent = {known: text for known, text in sent.items() if known.lower() != name.lower()}
        secret = _header_value(name, value)
        if name.lower() in _CREDENTIALS:
            kept[name] = secret
        else:
            sent[name] = secret.expose()
    return HttpRequest(url=url, body=_json_bytes(body), headers=sent, secrets=kept)


def get(
    url: str, *, headers: Mapping[str, str] | None = None, secrets: Mapping[str, Secret] | None = None
) -> HttpRequest:
    """Give a GET of JSON, as for the names of a provider's models."""
    sent = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
    return HttpRequest(url=url, body=b"", headers=sent, secrets=dict(secrets or {}), method="GET")


def bearer(key: Secret | None) -> dict[str, Secret]:
    """Give the header that carries a key after the word Bearer, or none without a key."""
    return {"Authorization": Secret(f"Bearer {key.expose()}")} if key else {}


def _check_header(name: object, secrets: Mapping[str, Secret]) -> None:
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise ConfigError(f"{printable(repr(name), 100)} cannot be the name of a header")
    if name.lower() in _FRAMING:
        raise ConfigError(f"the header {name} is set with the body: leave it out")
    if name.lower() in (known.lower() for known in secrets):
        raise ConfigError(f"the header {name} carries the key: give the key as api_key instead")


def _header_value(name: str, value: object) -> Secret:
    """A `Secret` refuses what no header can carry; it does not name the header."""
    if not isinstance(value, str):
        raise ConfigError(f"the value of the header {name} must be a str, not {type(value).__name__}")
    try:
        return Secret(value)
    except ConfigError as e:
        raise ConfigError(f"header {name}: {str(e).replace('the key', 'its value')}") from None


def _json_bytes(body: Mapping[str, Any]) -> bytes:
    def plain(value: object) -> object:
        if isinstance(value, Mapping):
            return dict(value)
        raise TypeError(f"{type(value).__name__} is no JSON type")

    try:
        text = json.dumps(dict(body), ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=plain)
    except (TypeError, ValueError, RecursionError) as e:
        raise ConfigError(
            f"the request cannot be written as JSON: {printable(str(e), 200)}; check tools and provider_options"
        ) from e
    return str(scrub(text)).encode("utf-8")


def merged(body: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Give the body with the user's options: an object is merged into ours, None takes a field out, else replaced."""
    whole = dict(body)
    for name, value in options.items():
        ours = whole.get(name)
        if value is None:
            whole.pop(name, None)
        else:
            whole[name] = merged(ours, value) if isinstance(ours, dict) and isinstance(value, Mapping) else value
    return whole


def objections(request: ChatRequest, can: Capabilities) -> Iterator[str]:
    """Give what is asked for and the provider cannot do, each with what to do instead."""
    if not request.model:
        yield "no model: name one, as in client.chat('model-name')"
    if not request.conversation:
        yield "no messages: add one with .user(...)"
    if request.top_k is not None and not can.top_k:
        yield "it knows no top_k: leave it out, or use top_p"
    if request.seed is not None and not can.seed:
        yield "it knows no seed: leave it out"
    if request.stop and not can.stop:
        yield "it knows no stop texts: leave them out"
    if (request.frequency_penalty, request.presence_penalty) != (None, None) and not can.penalties:
        yield "it knows no penalties: leave them out"
    if request.logprobs is not None and not can.logprobs:
        yield "it gives no log probabilities: leave logprobs out"
    if request.parallel_tool_calls is not None and not can.parallel_tool_calls:
        yield "it knows no switch for parallel tool calls: leave it out"
    if request.provider_options.get("n") not in (None, 1):
        yield "n above 1 is not read: make several requests, as with stream_parallel"
    yield from _thinking_objections(request, can)
    yield from _shape_objections(request, can)
    yield from _tool_objections(request, can)
    yield from _part_objections(request, can)


def _thinking_objections(request: ChatRequest, can: Capabilities) -> Iterator[str]:
    instead = "use .reasoning_effort(...)" if can.reasoning_effort else "leave it out, or use .provider_options(...)"
    if request.thinking and not can.thinking:
        yield f"it knows no switch for thinking: {instead}"
    if request.thinking_budget is not None and not can.thinking_budget:
        yield f"it knows no thinking budget: {instead}"
    if request.reasoning_effort is not None and not can.reasoning_effort:
        yield "it knows no reasoning effort: leave it out"


def _shape_objections(request: ChatRequest, can: Capabilities) -> Iterator[str]:
    wanted = request.response_format.type if request.response_format is not None else "text"
    if wanted == "json" and not can.json:
        instead = "give one with .json_schema(...), or " if can.json_schema else ""
        yield f"it has no JSON mode without a schema: {instead}ask for JSON in the prompt"
    if wanted == "schema" and not can.json_schema:
        yield "it takes no JSON Schema: ask for JSON in the prompt"
    elif wanted == "schema":
        yield from _schema_objections(request.response_format, can.schema_rules)


def _schema_objections(wanted: ResponseFormat | None, rules: StrictRules | None) -> Iterator[str]:
    if wanted is None or wanted.schema is None:
        yield "a response_format of type schema needs a schema: give one with .json_schema(...)"
        return
    malformed = [f"the schema cannot be sent: {offence}" for offence in offences(wanted.schema)]
    yield from malformed
    if rules is not None and (wanted.strict or rules.always) and not malformed:
        instead = "" if rules.always else " (or give strict=False)"
        yield from (f"the schema cannot be sent: {offence}{instead}" for offence in offences(wanted.schema, rules))


def _tool_objections(request: ChatRequest, can: Capabilities) -> Iterator[str]:
    if request.tools and not can.tools:
        yield "it calls no tools: leave them out"
    for tool in request.tools:
        yield from _declaration_objections(tool)
    choice, names = request.tool_choice, [tool.name for tool in request.tools]
    if len(set(names)) < len(names):
        yield f"two tools are called {next(name for name in names if names.count(name) > 1)}: rename one of them"
    if choice in (None, "auto", "none") or "tools" in request.provider_options:
        return
    if not names:
        yield f"tool_choice {choice!r} without tools: add them with .tools(...)"
    elif choice != "required" and choice not in names:
        yield f"unknown tool_choice {choice!r}: use auto, none, required or one of {', '.join(names)}"
    elif choice == "required" and not can.required_tool:
        yield "it cannot be made to call a tool: use tool_choice auto or none"
    elif choice != "required" and not can.named_tool:
        yield "it cannot be made to call a tool by name: use tool_choice auto, none or required"


def _declaration_objections(tool: Tool) -> Iterator[str]:
    if not tool.name:
        yield "a tool without a name: give it one"
    for offence in offences(tool.parameters):
        yield f"the parameters of the tool {tool.name} cannot be sent: {offence}"
    if isinstance(tool.parameters, Mapping) and tool.parameters.get("type", "object") != "object":
        yield f'the parameters of the tool {tool.name} must be of type "object": put what it takes into properties'


def _part_objections(request: ChatRequest, can: Capabilities) -> Iterator[str]:
    for message in request.messages:
        for part in message.content:
            if isinstance(part, ImagePart):
                yield from image_objections(part, can)
            elif isinstance(part, FilePart):
                yield from _file_objections(part, can)
            elif isinstance(part, ToolResultPart) and part.images and not can.tool_result_images:
                yield "it takes no images in a tool's result: send them in a user message"
            elif isinstance(part, ToolResultPart):
                for image in part.images:
                    yield from image_objections(image, can)


def image_objections(image: ImagePart, can: Capabilities) -> Iterator[str]:
    """Give what of an image the provider cannot take, each with what to do instead."""
    if not can.images:
        yield "it takes no images: leave them out"
    elif image.url is not None and not can.image_urls:
        yield "it fetches no images: send their bytes"
    elif image.data is not None and image.media_type not in can.image_types:
        yield f"it takes no images of type {image.media_type}: convert it to one of {', '.join(can.image_types)}"
    elif image.data is not None and len(image.data) > can.image_bytes:
        yield f"an image of {len(image.data)} bytes is too large: it takes at most {can.image_bytes}"


def _file_objections(file: FilePart, can: Capabilities) -> Iterator[str]:
    if not can.files:
        yield "it takes no files: send their text"
    elif file.url is not None and not can.file_urls:
        yield "it fetches no files: send their bytes"
    elif file.url is None and not file.data:
        yield f"the file {printable(file.name, 100)} is empty: give it data, or a url"
    elif file.citations and not can.citations:
        yield "it cites no files by itself: leave citations out, and ask for them in the prompt"


class CallIds:
    """The ids of calls and results. Where a service gave none, one is made up for a call and its result, in order."""

    def __init__(self) -> None:
        self._made = 0
        self._waiting: deque[str] = deque()

    def of_call(self, call: ToolCallPart) -> str:
        """Give the id of a call."""
        if call.id:
            return call.id
        self._made += 1
        self._waiting.append(f"call_{self._made}")
        return self._waiting[-1]

    def of_result(self, result: ToolResultPart) -> str:
        """Give the id of a result; without one of its own, that of the first call that waits for one."""
        return result.tool_call_id or (self._waiting.popleft() if self._waiting else "")


def result_text(result: ToolResultPart) -> str:
    """Give what a model is told of a tool's result by an API without a mark for failures: a failure says so itself."""
    if not result.is_error or result.output[:5].lower() == "error":
        return result.output
    return f"Error: {result.output or 'the tool failed'}"


def call_input(text: str) -> dict[str, Any]:
    """Give a call's arguments as an object. What is none goes under a key that shows the model its mistake."""
    value, _ = parse_arguments(text)
    return value if isinstance(value, dict) else {"INVALID_JSON": text}


def function_tool(tool: Tool) -> dict[str, Any]:
    """Give a tool as a function in OpenAI's form, which other APIs took over; without a description it has none."""
    described = {"description": tool.description} if tool.description else {}
    return {"type": "function", "function": {"name": tool.name, **described, "parameters": tool.parameters}}
