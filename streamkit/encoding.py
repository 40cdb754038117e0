"""What every codec does to put a request into its provider's words.

`refuse` raises what `objections` says the provider cannot do, by its `Capabilities`. `post` makes the HTTP request,
with the user's headers checked, and `get` the one for a list of models; `given` leaves out what was not asked for,
`merged` gives `provider_options` the last word. `turns`, `content` and their kin put messages into the forms that
several APIs share; `CallIds` gives tool calls the ids that an API demands, `call_input` their arguments as an object,
`result_text` what came of them.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from streamkit.codec import Capabilities, HttpRequest, Provider
from streamkit.errors import ConfigError, printable
from streamkit.jsontext import parse_arguments, scrub
from streamkit.schema_rules import StrictRules
from streamkit.types.messages import FilePart, ImagePart, Message, TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from streamkit.types.request import ChatRequest, ResponseFormat, Tool
from streamkit.types.secret import Secret

__all__ = [
    "CallIds",
    "bearer",
    "call_input",
    "content",
    "described",
    "function_call",
    "function_tool",
    "get",
    "given",
    "image_objections",
    "is_own",
    "key_header",
    "media_objections",
    "merged",
    "objections",
    "own_thinking",
    "post",
    "refuse",
    "result_text",
    "results",
    "speaks",
    "system_objections",
    "turns",
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
    direct: bool = False,
) -> HttpRequest:
    """Give the POST of a JSON body that asks for an event stream; the same bytes for each attempt.

    `headers` and `secrets` are the codec's, `own` the user's. The user's win over `headers`, whatever their case. One
    that carries a credential goes into `secrets`, so that it prints as [REDACTED]. With `direct` a server of this
    machine is reached past the proxies of the environment.

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
    return HttpRequest(
        url=url, body=_json_bytes(body), headers=sent, secrets=kept, direct=direct and _is_of_this_machine(url)
    )


def get(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    secrets: Mapping[str, Secret] | None = None,
    direct: bool = False,
) -> HttpRequest:
    """Give a GET of JSON, as for the names of a provider's models. `direct` is as in `post`."""
    sent = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
    direct = direct and _is_of_this_machine(url)
    return HttpRequest(url=url, body=b"", headers=sent, secrets=dict(secrets or {}), method="GET", direct=direct)


def _is_of_this_machine(url: str) -> bool:
    """Whether a proxy could not reach it."""
    return re.match(r"https?://(localhost|127(\.\d+){3}|\[::1\])(:\d+)?/", url) is not None


def bearer(key: Secret | None) -> dict[str, Secret]:
    """Give the header that carries a key after the word Bearer, or none without a key."""
    return {"Authorization": Secret(f"Bearer {key.expose()}")} if key else {}


def key_header(name: str, key: Secret | None) -> dict[str, Secret]:
    """Give the header of this name that carries a key, or none without a key; as Authorization it is a `bearer`."""
    return bearer(key) if name == "Authorization" or not key else {name: key}


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


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields that have a value: what was not asked for is left to the API."""
    return {name: value for name, value in fields.items() if value is not None}


def merged(body: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Give the body with the user's options, which have the last word.

    An object is merged into ours, None takes a field out, anything else replaces it.
    """
    whole = dict(body)
    for name, value in options.items():
        ours = whole.get(name)
        if value is None:
            whole.pop(name, None)
        else:
            whole[name] = merged(ours, value) if isinstance(ours, dict) and isinstance(value, Mapping) else value
    return whole


def refuse(provider: Provider, objections: Iterable[str]) -> None:
    """Raise the first objection there is, as a `ConfigError` that names the provider."""
    for objection in objections:
        raise ConfigError(f"{provider.name}: {objection}")


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
    if can.most_stops is not None and len(request.stop) > can.most_stops:
        yield f"{len(request.stop)} stop texts are too many: give at most {can.most_stops}"
    if can.most_temperature is not None and not 0 <= (request.temperature or 0) <= can.most_temperature:
        yield f"temperature {request.temperature} is out of range: give one from 0 to {can.most_temperature:g}"
    if (request.frequency_penalty, request.presence_penalty) != (None, None) and not can.penalties:
        yield "it knows no penalties: leave them out"
    if request.logprobs is not None and not can.logprobs:
        yield "it gives no log probabilities: leave logprobs out"
    if request.parallel_tool_calls is not None and not can.parallel_tool_calls:
        yield "it knows no switch for parallel tool calls: leave it out"
    if not can.prompt_caching and wants_caching(request):
        yield "it is not known to cache prompts: leave out .prompt_caching() and cache=True"
    if request.provider_options.get("n") not in (None, 1):
        yield "n above 1 is not read: make several requests, as with stream_parallel"
    yield from _thinking_objections(request, can)
    yield from _shape_objections(request, can)
    yield from _tool_objections(request, can)
    yield from _part_objections(request, can)


def wants_caching(request: ChatRequest) -> bool:
    """Say whether the beginning of the prompt, or the prompt up to a part of it, is to be cached."""
    return request.prompt_caching or any(
        getattr(part, "cache", False) for message in request.conversation for part in message.content
    )


def _thinking_objections(request: ChatRequest, can: Capabilities) -> Iterator[str]:
    instead = "use .reasoning_effort(...)" if can.reasoning_effort else "leave it out, or use .provider_options(...)"
    if request.thinking and not can.thinking:
        yield f"it knows no switch for thinking: {instead}"
    if request.thinking_budget is not None and not can.thinking_budget:
        yield f"it knows no thinking budget: {instead}"
    if request.reasoning_effort is not None and not can.reasoning_effort:
        yield "it knows no reasoning effort: leave it out"
    elif request.reasoning_effort is not None and can.efforts and request.reasoning_effort not in can.efforts:
        yield f"unknown reasoning_effort {request.reasoning_effort!r}: use one of {', '.join(can.efforts)}"


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
    from streamkit.schema import offences  # few requests have schemas

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
        instead = "auto, none or required" if can.required_tool else "auto or none"
        yield f"it cannot be made to call a tool by name: use tool_choice {instead}"


def _declaration_objections(tool: Tool) -> Iterator[str]:
    if not tool.name:
        yield "a tool without a name: give it one"
    from streamkit.schema import offences  # few requests have schemas

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
                yield "it takes no images in a tool's result: have the tool give text, or send them in a user message"
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


def media_objections(request: ChatRequest) -> Iterator[str]:
    """Give what an API refuses that takes images and files from the user only."""
    for message in request.messages:
        if message.role != "user" and any(isinstance(part, (ImagePart, FilePart)) for part in message.content):
            yield f"images and files can only be sent in a user message, not in one of role {message.role!r}"


def system_objections(request: ChatRequest) -> Iterator[str]:
    """Give what an API refuses whose system text is a field of its own."""
    if any(not isinstance(part, TextPart) for message in request.system for part in message.content):
        yield "a system message can hold text only: put images and files into a user message"


def turns(
    messages: Iterable[Message],
    made: Callable[[Message], list[dict[str, Any]]],
    *,
    assistant: str = "assistant",
    content: str = "content",
) -> list[dict[str, Any]]:
    """Give messages as two sides that take turns: neighbours of one side become one turn, what is empty none.

    `made` gives a message's parts; `assistant` is what the API calls the model's side, `content` where the parts stand.

    Raises:
        ConfigError: nothing is left.
    """
    found: list[dict[str, Any]] = []
    for message in messages:
        role, parts = assistant if message.role == "assistant" else "user", made(message)
        if parts and found and found[-1]["role"] == role:
            found[-1][content] += parts
        elif parts:
            found.append({"role": role, content: parts})
    if not found:
        raise ConfigError("no messages but empty ones: add one with .user(...)")
    return found


def content(message: Message, *, marks: bool = False) -> str | list[dict[str, Any]]:
    """Give a message's content in OpenAI's form, which other APIs took over.

    Text alone is a text, as older servers know nothing else; with images or files it is a list of parts. With `marks`
    it is one, too, where a text is to be cached up to its end.
    """
    shown = [part for part in message.content if isinstance(part, (TextPart, ImagePart, FilePart))]
    marked = marks and any(part.cache for part in shown)
    if not marked and all(isinstance(part, TextPart) for part in shown):
        return message.text
    return [_part(part, marks=marks) for part in shown]


def _part(part: TextPart | ImagePart | FilePart, *, marks: bool) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        detail = {"detail": part.detail} if part.detail else {}
        return {"type": "image_url", "image_url": {"url": part.data_url(), **detail}}
    if isinstance(part, FilePart):
        return {"type": "file", "file": {"filename": part.name, "file_data": part.data_url()}}
    mark = {"cache_control": {"type": "ephemeral"}} if marks and part.cache else {}
    return {"type": "text", "text": part.text, **mark}


def speaks(message: Message) -> bool:
    """Say whether a message is more than results of tools, which most APIs have as messages by themselves."""
    return not message.content or any(not isinstance(part, ToolResultPart) for part in message.content)


def is_own(part: ThinkingPart | ToolCallPart, provider: str) -> bool:
    """Say whether a provider may be given back what another would not understand: its own, or that of nobody known."""
    return part.provider in ("", provider)


def own_thinking(message: Message, provider: str) -> str:
    """Give the text of a message's thinking that this provider gave."""
    thinking = [part for part in message.content if isinstance(part, ThinkingPart)]
    return "".join([part.text for part in thinking if is_own(part, provider)])


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


def results(message: Message, ids: CallIds) -> list[dict[str, Any]]:
    """Give the results of tools in a message, as messages in OpenAI's form, which other APIs took over."""
    return [
        {"role": "tool", "tool_call_id": ids.of_result(part), "content": result_text(part)}
        for part in message.content
        if isinstance(part, ToolResultPart)
    ]


def result_text(result: ToolResultPart) -> str:
    """Give what a model is told of a tool's result by an API without a mark for failures: a failure says so itself."""
    if not result.is_error or result.output[:5].lower() == "error":
        return result.output
    return f"Error: {result.output or 'the tool failed'}"


def call_input(text: str) -> dict[str, Any]:
    """Give a call's arguments as an object. What is none goes under a key that shows the model its mistake."""
    value, _ = parse_arguments(text)
    return value if isinstance(value, dict) else {"INVALID_JSON": text}


def described(tool: Tool) -> dict[str, Any]:
    """Give a tool's name and description; without a description it has none."""
    return {"name": tool.name, **({"description": tool.description} if tool.description else {})}


def function_tool(tool: Tool) -> dict[str, Any]:
    """Give a tool as a function in OpenAI's form, which other APIs took over."""
    return {"type": "function", "function": {**described(tool), "parameters": tool.parameters}}


def function_call(call: ToolCallPart, id: str) -> dict[str, Any]:
    """Give a call of a function in the same form."""
    return {"id": id, "type": "function", "function": {"name": call.name, "arguments": call.input or "{}"}}
