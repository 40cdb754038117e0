"""Google's generateContent, as the Gemini API and Vertex AI serve it.

Wire: https://ai.google.dev/api/generate-content and .../gemini-api/docs/thought-signatures, and for Vertex AI
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference, read November 2026. One HTTP request a
call, `POST {base_url}/v1beta/models/{model}:streamGenerateContent?alt=sse`; each event of the answer is a JSON object
with `candidates`, the first of which has `content` of `parts`: text, thoughts, function calls and what the server's own
tools did. This file turns a request into that request, and those events into chunks. It knows nothing of threads,
sockets or time.

The wire has no last event. The decoder is lenient about what is sent and strict about the end: only a finish reason,
and then the end of the body, makes an answer complete.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from streamkit import lazy_attrs as attrs
from streamkit.codec import Capabilities, Decoder, HttpRequest, Provider, logprobs
from streamkit.encoding import (
    call_input,
    described,
    get,
    given,
    image_objections,
    is_own,
    key_header,
    merged,
    objections,
    post,
    refuse,
    system_objections,
    turns,
)
from streamkit.errors import ConfigError, DecodeError, printable
from streamkit.framing import Event, SSEFramer
from streamkit.jsontext import identifier, listed, mapped, named, said, scrub, word, written
from streamkit.provider_errors import error_in, event_error, status_error
from streamkit.providers.keyed import KeyedProvider
from streamkit.stencil import Stencil
from streamkit.types.chunks import Chunk
from streamkit.types.media import read_data_url, type_by_name
from streamkit.types.messages import (
    FilePart,
    ImagePart,
    Message,
    Part,
    RawPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from streamkit.types.request import ChatRequest, ResponseFormat, Tool
from streamkit.types.usage import Usage, count

__all__ = ["CAPABILITIES", "Gemini", "GenerateContent", "GenerateContentDecoder", "Quirks", "Vertex"]


@attrs.frozen(kw_only=True)
class Quirks:
    """What a service does its own way on this wire. The defaults are the Gemini API's."""

    cloud: bool = False
    """It is Vertex AI: a model belongs to a publisher, the address names a project, the key is an access token."""


CAPABILITIES = Capabilities(
    tool_result_images=True,
    image_types=("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"),
    image_bytes=70 * 2**20,  # a request holds 100 MB, and base64 makes of three bytes four
    files=True,
    thinking=True,
    thinking_budget=True,
    reasoning_effort=True,
    efforts=("minimal", "low", "medium", "high", "xhigh"),
    prompt_caching=True,
    most_stops=5,
    most_temperature=2,
    top_k=True,
    logprobs=True,
)
"""What the Gemini API and Vertex AI can do."""


@attrs.frozen(kw_only=True)
class GenerateContent:
    """The wire format of `:streamGenerateContent`. Stateless; share it between any number of threads."""

    quirks: Quirks = Quirks()
    capabilities: Capabilities = CAPABILITIES
    framer = SSEFramer
    error = staticmethod(status_error)

    def encode(self, request: ChatRequest, provider: Provider) -> HttpRequest:
        """Put a request into the API's words.

        System messages become `systemInstruction`, consecutive messages of one side one content. Thinking, signatures
        and raw blocks go back only to the provider that gave them; unsigned thinking means nothing to the API and is
        left out. A call without a signature, as another provider's, is marked as such for the models that demand one.
        `prompt_caching` asks for nothing: it is automatic here. `provider_options`, the API's own fields, have the last
        word (see `encoding.merged`).

        Raises:
            ConfigError: for what the API does not know or cannot do.
        """
        refuse(provider, _objections(request, self.capabilities))
        return post(
            f"{self._url(provider, self._model_path(request.model))}:streamGenerateContent?alt=sse",
            merged(_body(request, provider.name), request.provider_options),
            secrets=key_header(self._key_header, provider.secret()),
            own=request.headers,
        )

    def decoder(
        self, request: ChatRequest, provider: Provider, *, index: int = 0, step: int = 1
    ) -> GenerateContentDecoder:
        """Give a decoder for one answer."""
        return GenerateContentDecoder(provider=provider.name, index=index, step=step)

    def list_models(self, provider: Provider) -> HttpRequest:
        """Give the request for the names of the models. Vertex AI lists Google's, whatever the project."""
        if self.quirks.cloud:
            host = "{0.scheme}://{0.netloc}".format(urlsplit(provider.base_url))
            url = f"{host}/v1beta1/publishers/google/models?pageSize=1000"
        else:
            url = f"{self._url(provider, 'models')}?pageSize=1000"
        return get(url, secrets=key_header(self._key_header, provider.secret()))

    def model_names(self, answer: Any) -> list[str]:
        """Give the names in a list of models: "gemini-…", and "tunedModels/…" for one of your own."""
        models = mapped(answer).get("models") or mapped(answer).get("publisherModels")
        return [name.removeprefix("publishers/google/").removeprefix("models/") for name in named(models, "name")]

    def _url(self, provider: Provider, path: str) -> str:
        base = provider.base_url.removesuffix("/publishers/google")
        if self.quirks.cloud and "/projects/" not in base:
            raise ConfigError(
                f"{provider.name}: base_url names no project: it should end in /v1/projects/PROJECT/locations/LOCATION"
            )
        versioned = _VERSION.search(urlsplit(base).path)
        return f"{base}{'' if versioned else '/v1' if self.quirks.cloud else '/v1beta'}/{path}"

    def _model_path(self, model: str) -> str:
        """The name as a path; names that are one already keep their collection."""
        own, home = (
            (("publishers/", "endpoints/"), "publishers/google/") if self.quirks.cloud else (("tunedModels/",), "")
        )
        path = model if model.startswith(own) else f"{home}models/{model.removeprefix('models/')}"
        return quote(path, safe="/@")

    @property
    def _key_header(self) -> str:
        return "Authorization" if self.quirks.cloud else "x-goog-api-key"


class Gemini(KeyedProvider):
    """Google's Gemini API. `base_url` is the bare host, as in Google's own SDK, with or without a version."""

    name = "gemini"
    key_variables = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
    base_url_variable = "GOOGLE_GEMINI_BASE_URL"
    default_base_url = "https://generativelanguage.googleapis.com"
    usual_model = "gemini-flash-latest"
    codec = GenerateContent()


class Vertex(KeyedProvider):
    """Google Cloud's Vertex AI. The key is an access token, which lasts an hour: give a function that renews it.

    `Vertex(token, project=..., location=...)`, or a `base_url` that ends in `/v1/projects/PROJECT/locations/LOCATION`.
    """

    name = "vertex"
    key_variables = ("GOOGLE_OAUTH_ACCESS_TOKEN",)
    default_base_url = "https://{location}-aiplatform.googleapis.com/v1/projects/{project}/locations/{location}"
    usual_model = "gemini-2.5-flash"
    settings: Mapping[str, str] = {"project": "GOOGLE_CLOUD_PROJECT", "location": "GOOGLE_CLOUD_LOCATION"}
    codec = GenerateContent(quirks=Quirks(cloud=True))

    def _address(self, base_url: str | None, settings: Mapping[str, str]) -> str:
        # The location "global" has a host without a name of its own.
        return super()._address(base_url, settings).replace("//global-aiplatform.", "//aiplatform.")


# -- the request


_VERSION = re.compile(r"/v\d+[a-z0-9]*(/|$)")
_SIGNED_CALLS = re.compile(r"gemini-([3-9]|\d\d|[a-z-]+-latest)")
"""The models that refuse a call without a signature."""
_UNSIGNED = "skip_thought_signature_validator"
"""The API's own word, in place of a signature, for a call that no model of its own made: it would be refused."""


def _objections(request: ChatRequest, can: Capabilities) -> Iterator[str]:
    """What the API would refuse, or does not know, each with what to do instead."""
    yield from objections(request, can)
    yield from system_objections(request)
    config = request.provider_options.get("generationConfig")
    if isinstance(config, Mapping) and config.get("candidateCount") not in (None, 1):
        yield "candidateCount above 1 is not read: make several requests, as with stream_parallel"
    if ".." in request.model:
        yield f"{printable(request.model, 100)!r} cannot be the name of a model: it would lead elsewhere"
    if request.reasoning_effort is not None and request.thinking_budget is not None:
        yield "it takes a thinking budget or a reasoning effort, not both: leave one out"
    for part in (part for message in request.messages for part in message.content if isinstance(part, FilePart)):
        yield from _file_objections(part, can)


_TEXT_TYPE = re.compile(r"application/(.*\+)?(json|xml|yaml|toml)")
_FILE_TYPE = re.compile(r"(text|image|audio|video)/.+|application/pdf")


def _file_objections(file: FilePart, can: Capabilities) -> Iterator[str]:
    if file.media_type.startswith("image/") and file.data:
        yield from image_objections(ImagePart(data=file.data, media_type=file.media_type), can)
    elif not (_FILE_TYPE.fullmatch(file.media_type) or _TEXT_TYPE.fullmatch(file.media_type)):
        yield f"a file of type {file.media_type} cannot be sent: give a PDF, a text, an image, audio or video"


def _body(request: ChatRequest, provider: str) -> dict[str, Any]:
    offers_tools = bool(request.tools) or "tools" in request.provider_options
    fields = {
        "systemInstruction": _system(request.system),
        "contents": _contents(request, provider),
        "tools": [{"functionDeclarations": [_tool(tool) for tool in request.tools]}] if request.tools else None,
        "toolConfig": _tool_config(request.tool_choice) if request.tool_choice and offers_tools else None,
        "generationConfig": _generation_config(request) or None,
    }
    return given(fields)


def _generation_config(request: ChatRequest) -> dict[str, Any]:
    fields = {
        "temperature": request.temperature,
        "topP": request.top_p,
        "topK": request.top_k,
        "maxOutputTokens": request.max_tokens,
        "stopSequences": list(request.stop) or None,
        "seed": request.seed,
        "frequencyPenalty": request.frequency_penalty,
        "presencePenalty": request.presence_penalty,
        "responseLogprobs": None if request.logprobs is None else True,
        "logprobs": request.logprobs or None,
        "thinkingConfig": _thinking_config(request) or None,
        **_response_format(request.response_format),
    }
    return given(fields)


def _thinking_config(request: ChatRequest) -> dict[str, Any]:
    """Thoughts are shown where thinking is asked for; a budget of 0 switches it off, where the model allows it."""
    config: dict[str, Any] = {}
    if request.thinking or request.thinking_budget:
        config["includeThoughts"] = True
    if request.thinking_budget is not None:
        config["thinkingBudget"] = request.thinking_budget
    if request.reasoning_effort is not None:
        config["thinkingLevel"] = request.reasoning_effort.upper()
    return config


def _response_format(wanted: ResponseFormat | None) -> dict[str, Any]:
    if wanted is None or wanted.type == "text":
        return {}
    schema = {"responseJsonSchema": wanted.schema or {}} if wanted.type == "schema" else {}
    return {"responseMimeType": "application/json", **schema}


def _tool(tool: Tool) -> dict[str, Any]:
    return {**described(tool), "parametersJsonSchema": tool.parameters}


def _tool_config(choice: str) -> dict[str, Any]:
    mode = {"auto": "AUTO", "none": "NONE"}.get(choice, "ANY")
    named = {} if choice in ("auto", "none", "required") else {"allowedFunctionNames": [choice]}
    return {"functionCallingConfig": {"mode": mode, **named}}


def _system(messages: Sequence[Message]) -> dict[str, Any] | None:
    parts = [{"text": message.text} for message in messages if message.text]
    return {"parts": parts} if parts else None


def _contents(request: ChatRequest, provider: str) -> list[dict[str, Any]]:
    """Two sides take turns; in the user's the results of calls come first."""
    names = _CallNames()
    found = turns(
        request.conversation, lambda message: _parts(message, names, provider), assistant="model", content="parts"
    )
    for turn in found:
        if turn["role"] == "user":
            turn["parts"].sort(key=lambda part: "functionResponse" not in part)
        elif _SIGNED_CALLS.search(request.model):
            _sign_first_call(turn["parts"])
    return found


def _sign_first_call(parts: list[dict[str, Any]]) -> None:
    """Of calls made together the first has the signature."""
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None:
        first.setdefault("thoughtSignature", _UNSIGNED)


class _CallNames:
    """The names of the functions that results belong to, which the API wants beside them."""

    def __init__(self) -> None:
        self._by_id: dict[str, str] = {}
        self._waiting: deque[str] = deque()  # of calls without an id, in order

    def called(self, call: ToolCallPart) -> None:
        """Note a call."""
        if call.id:
            self._by_id[call.id] = call.name
        else:
            self._waiting.append(call.name)

    def of_result(self, result: ToolResultPart) -> str:
        """Give the name for a result; `ConfigError` where neither it nor a call before it says one."""
        if result.tool_call_id:
            known = self._by_id.get(result.tool_call_id, "")
        else:
            known = self._waiting.popleft() if self._waiting else ""
        if not (result.tool_name or known):
            raise ConfigError(
                f"the tool result for call {result.tool_call_id!r} follows no such call: "
                "keep the assistant's message before it, or give tool_name"
            )
        return result.tool_name or known


def _parts(message: Message, names: _CallNames, provider: str) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for part in message.content:
        made = _part(part, names, provider)
        if made is not None and isinstance(part, RawPart):
            _take_back(parts, made)
        if made is not None:
            parts.append(made)
    return parts


def _take_back(parts: list[dict[str, Any]], signed: Mapping[str, Any]) -> None:
    """A signed piece of text stands in the text before it, too. It goes back once, as the very part that was signed."""
    piece = word(signed.get("text"))
    if piece and parts and parts[-1].keys() == {"text"} and parts[-1]["text"].endswith(piece):
        before = parts.pop()["text"].removesuffix(piece)
        parts += [{"text": before}] if before else []


def _part(part: Part, names: _CallNames, provider: str) -> dict[str, Any] | None:
    """One part of a message as the API's, or None for what means nothing to it."""
    if isinstance(part, TextPart):
        return {"text": part.text} if part.text else None
    if isinstance(part, (ImagePart, FilePart)):
        return _media(part)
    if isinstance(part, ThinkingPart):
        if not part.signature or not is_own(part, provider):
            return None
        return {"text": part.text, "thought": True, "thoughtSignature": part.signature}
    if isinstance(part, ToolCallPart):
        names.called(part)
        return _call(part, provider)
    if isinstance(part, ToolResultPart):
        return _result(part, names.of_result(part))
    return dict(part.block) if part.provider == provider else None


def _call(call: ToolCallPart, provider: str) -> dict[str, Any]:
    id = {"id": call.id} if call.id else {}
    signed = {"thoughtSignature": call.signature} if call.signature and is_own(call, provider) else {}
    return {"functionCall": {**id, "name": call.name, "args": call_input(call.input)}, **signed}


def _result(result: ToolResultPart, name: str) -> dict[str, Any]:
    if result.is_error:
        response = {"error": result.output or "the tool failed"}
    else:
        found = _object_in(result.output)
        response = {"result": result.output} if found is None else found
    shown = {"parts": [_media(image) for image in result.images]} if result.images else {}
    id = {"id": result.tool_call_id} if result.tool_call_id else {}
    return {"functionResponse": {**id, "name": name, "response": response, **shown}}


def _object_in(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is; None for any other, and for one that cannot be sent (NaN is no JSON)."""
    try:
        value = json.loads(text)
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _media(part: ImagePart | FilePart) -> dict[str, Any]:
    """An image or a file: by its bytes, or by an address that the provider fetches."""
    if part.url is not None and part.url.startswith("data:"):
        data, named = read_data_url(part.url)
        part = FilePart(data=data, media_type=named or part.media_type)
    if part.url is not None:
        return {"fileData": {"mimeType": _type_of(part, part.url), "fileUri": part.url}}
    plain = _TEXT_TYPE.fullmatch(part.media_type)
    return {"inlineData": {"mimeType": "text/plain" if plain else part.media_type, "data": part.base64()}}


def _type_of(part: ImagePart | FilePart, url: str) -> str:
    """The type that the API wants beside an address: where none was said, the one that the address ends in."""
    assumed = "image/png" if isinstance(part, ImagePart) else "application/pdf"
    named = type_by_name(re.split("[?#]", url)[0].rpartition("/")[2])
    return named or assumed if part.media_type == assumed else part.media_type


# -- the answer


_FINISH_REASONS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MALFORMED_FUNCTION_CALL": "error",
    "MALFORMED_RESPONSE": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
}
"""Ours by Google's. Any other is "other"."""

_FIRST = (0, None, "0")  # the index of the candidate that is read
_UNFINISHED = "FINISH_REASON_UNSPECIFIED"  # what the field holds by default, so nothing is said
_NO_BLOCK = (None, "", "BLOCK_REASON_UNSPECIFIED")

# Fields that are read elsewhere, or mean nothing. What is in none of these becomes metadata.
_READ_OF_EVENT = frozenset({"candidates", "modelVersion", "responseId", "error"})
_READ_OF_CANDIDATE = frozenset({"content", "index", "logprobsResult"})
_READ_OF_PART = frozenset({"text", "thought", "thoughtSignature", "partMetadata", "mediaResolution"})
_READ_OF_SOURCE = frozenset({"uri", "sourceUri", "title", "text", "placeId", "documentName"})


class GenerateContentDecoder(Decoder):
    """Events of one answer into chunks.

    What is read of an event has a method with the name of its field; what nobody knows becomes metadata. A part of the
    answer that only Google understands is kept as it is.
    """

    def __init__(self, *, provider: str, index: int = 0, step: int = 1) -> None:
        super().__init__(provider=provider, index=index, step=step)
        self._stencil = Stencil(_plain)
        self._answered = False  # a candidate was seen
        self._blocked = False  # the prompt was refused: nothing more will come
        self._call: _Call | None = None  # whose arguments are still coming
        self._called = False

    def event(self, event: Event) -> None:
        """Decode one event.

        Raises:
            ProviderError: the event reports an error. What came beside it is decoded first.
            DecodeError: the event cannot be understood.
        """
        text = self._stencil.read(event.data)
        if text is not None and event.event == "message":
            self.text(text)
        else:
            self._event(event)

    def end(self) -> list[Chunk]:
        """Give the last chunks of a complete answer: a call that was not ended, then `step_finish`.

        Raises:
            StreamTruncated: the body ended without a finish reason.
        """
        self._require_whole()
        raw = (self.state.raw_finish_reason or "").upper()
        reason = "content_filter" if self._blocked and not raw else _FINISH_REASONS.get(raw, "other")
        self._end_call(None if reason == "stop" else "the answer ended within its arguments")
        self.step_finish("tool_calls" if self._called and reason in ("stop", "other") else reason)
        return self.take()

    def _require_whole(self) -> None:
        if self.state.raw_finish_reason is None and not self._blocked:
            self.require_answer("candidate", there=self._answered)
            raise self.cut_off("finish reason")

    # -- an event

    def _event(self, event: Event) -> None:
        value = self.parsed(event)
        for answer in listed(value):  # a server that was not asked for events sends a list of all of them
            if type(answer) is dict:
                self._answer(answer, event.event)
            elif not self.finished and (error := error_in(answer, event.event)):
                raise event_error(self.state.provider, error)
        if type(value) is dict:
            self._stencil.learn(event.data, value)

    def _answer(self, answer: dict[str, Any], event: str) -> None:
        state = self.state
        if not state.id:
            state.id = word(answer.get("responseId")) or None
        if not state.model:
            state.model = word(answer.get("modelVersion")) or None
        candidates = answer.get("candidates")
        for candidate in listed(candidates):
            if type(candidate) is dict and candidate.get("index") in _FIRST:
                self._candidate(candidate)
                break
        self.beside(answer, _READ_OF_EVENT, _BESIDE)
        error = error_in(answer, event, answer=candidates is not None)
        if error:
            raise event_error(state.provider, error)

    def _candidate(self, candidate: Mapping[str, Any]) -> None:
        """Read the first candidate."""
        self._answered = True
        beside = logprobs(candidate.get("logprobsResult"))
        for part in listed(_piece(candidate.get("content")).get("parts")):
            self._part(_piece(part), beside)
            beside = None  # they are of the event's whole text: once is enough
        self.beside(candidate, _READ_OF_CANDIDATE, _BESIDE)

    def changed(self) -> None:
        """What stands beside the text is no longer what the stencil takes it for."""
        self._stencil.forget()

    # -- the content

    def _part(self, part: dict[str, Any], beside: Mapping[str, Any] | None) -> None:
        """One part; it holds one thing, perhaps with the signature of the thought behind it."""
        signature, text = word(part.get("thoughtSignature")), part.get("text")
        if part.get("functionCall") is not None:
            self.function_call(_piece(part["functionCall"]), signature)
        elif text or all(value is None or name in _READ_OF_PART for name, value in part.items()):
            if part.get("thought"):
                self.thinking(said(text), {"signature": signature} if signature else beside)
            else:
                self.text(said(text), beside)
                if signature:
                    self._raw(part)
        else:
            self._raw(part)

    def function_call(self, function: Mapping[str, Any], signature: str = "") -> None:
        """A call: whole, or a piece of one, whose arguments come in parts where that was asked for (Vertex AI only)."""
        id, name = identifier(function.get("id")), word(function.get("name"))
        arguments, pieces = function.get("args"), listed(function.get("partialArgs") or [])
        call = self._call
        if call is None or not call.goes_on(id, name, pieces):
            self._end_call()
            if not (id or name or arguments is not None):
                if pieces:
                    raise DecodeError("the provider sent arguments of a call that never began")
                return  # it only says that the call before it is whole
            call = self._call = _Call(id=id, name=name)
            self.tool_start(id, name)
        more = function.get("willContinue") is True
        call.signature = call.signature or signature
        self._grow_call(call, call.begin(arguments, more=more or bool(pieces)))
        for piece in pieces:
            self._grow_call(call, call.add(_piece(piece)))
        if not more:
            self._end_call()

    def _grow_call(self, call: _Call, text: str) -> None:
        if text:
            call.pieces.append(text)
            self.tool_delta(call.id, text)

    def _end_call(self, why: str | None = None) -> None:
        call, self._call = self._call, None
        if call is not None:
            self._grow_call(call, call.rest())
            signed = {"signature": call.signature} if call.signature else None
            self.tool_call(call.id, call.name, "".join(call.pieces), why=call.why or why, metadata=signed)
            self._called = True

    def _raw(self, part: dict[str, Any]) -> None:
        """A part to be kept as it is for the next turn: what the server's tools did, media, or a signature."""
        self.text("", {"raw_block": scrub(part), "provider": self.state.provider})

    # -- what comes beside

    def finish_reason(self, reason: Any) -> None:
        """Why the answer ends; of several the last."""
        if type(reason) is str and reason not in (_UNFINISHED, self.state.raw_finish_reason):
            self.state.raw_finish_reason = scrub(reason)
            self.changed()

    def usage(self, raw: Any) -> None:
        """The last report counts: they are cumulative. One without counts, as Vertex AI's first ones, changes none."""
        if type(raw) is dict and raw != self.state.usage.raw:
            usage = _usage(scrub(raw))
            self.state.usage = usage if usage.source == "reported" else attrs.evolve(self.state.usage, raw=usage.raw)
            self.changed()

    def prompt_feedback(self, feedback: Any) -> None:
        """What the filter says of the prompt; with a reason to block it, there is no answer."""
        self.keep_more("promptFeedback", feedback)
        if mapped(feedback).get("blockReason") not in _NO_BLOCK:
            self._blocked = True

    def grounding(self, grounding: Any) -> None:
        """The pages, documents and places that the answer rests on."""
        self.keep_more("groundingMetadata", grounding)
        if type(grounding) is dict:
            for chunk in listed(grounding.get("groundingChunks")):
                for cited in chunk.values() if type(chunk) is dict else ():
                    self._cite(cited)

    def citations(self, citations: Any) -> None:
        """What the answer quotes at length."""
        self.keep_more("citationMetadata", citations)
        if type(citations) is dict:
            for name in ("citations", "citationSources"):
                for cited in listed(citations.get(name)):
                    self._cite(cited)

    def _cite(self, cited: Any) -> None:
        cited = mapped(cited)
        title, text = word(cited.get("title")), word(cited.get("text"))
        at = [place for place in (cited.get("startIndex"), cited.get("endIndex")) if type(place) is int]
        self.cite(
            cited,
            _READ_OF_SOURCE,
            url=word(cited.get("uri")) or word(cited.get("sourceUri")),
            title=title,
            id=word(cited.get("placeId")) or word(cited.get("documentName")),
            text=text,
            place=(title, text, *at),  # of a document several passages are told apart
        )


_BESIDE = {
    "finishReason": GenerateContentDecoder.finish_reason,
    "usageMetadata": GenerateContentDecoder.usage,
    "promptFeedback": GenerateContentDecoder.prompt_feedback,
    "groundingMetadata": GenerateContentDecoder.grounding,
    "citationMetadata": GenerateContentDecoder.citations,
}
"""What an event or its candidate may say beside the content. The rest of it becomes metadata."""


@attrs.define(kw_only=True)
class _Call:
    """A function call as it grows, its arguments as JSON text.

    The API has no such text. It sends an object; or, in the order in which the model writes them, values with the place
    of each in a dialect of JSONPath (RFC 9535), from which the text is made.
    """

    id: str
    name: str
    signature: str = ""
    why: str | None = None
    """Why its arguments are not to be used."""
    pieces: list[str] = attrs.field(factory=list)
    """Of the text."""
    _last: list[str | int] = attrs.field(factory=list)
    """Where the last value stands; all that it stands in is open."""
    _grows: bool = False
    """Whether that value is a text which goes on."""
    _written: set[tuple[str | int, ...]] = attrs.field(factory=set)

    def goes_on(self, id: str, name: str, pieces: Sequence[Any]) -> bool:
        """Whether what comes next belongs to this call. Most pieces say no name; a name without any begins another."""
        return (not id or id == self.id) and (not name or (name == self.name and bool(pieces)))

    def begin(self, arguments: Any, *, more: bool) -> str:
        """Give the text of arguments that are there from the beginning; `more` of them will come in pieces."""
        if arguments is None:
            return ""
        if self.pieces:
            self.why = self.why or "its arguments came twice"
            return ""
        if type(arguments) is dict and more:
            return "".join(self._value([name], _json_text(value)) for name, value in arguments.items())
        return written(arguments)

    def add(self, piece: Mapping[str, Any]) -> str:
        """Give what a piece adds to the text; nothing where it fits nowhere."""
        kind = next((name for name in piece if name.endswith("Value")), "")
        path, value = word(piece.get("jsonPath")), piece.get(kind)
        if not kind:
            return ""
        if kind == "stringValue" and type(value) is str:
            return self._value(_steps(path), _json_text(value)[1:-1], text=True, more=piece.get("willContinue") is True)
        return self._value(_steps(path), "null" if kind == "nullValue" else _json_text(value))

    def rest(self) -> str:
        """Give what the text lacks at its end."""
        end = '"' * self._grows + self._closing(0)
        self._last, self._grows = [], False
        return end

    def _value(self, steps: list[str | int], value: str, *, text: bool = False, more: bool = False) -> str:
        end = '"' if text and not more else ""
        if text and self._grows and steps == self._last:
            self._grows = more
            return value + end
        way = self._way(steps)
        if way is None:
            self.why = self.why or "a piece of its arguments fits nowhere in them"
            return ""
        before = '"' * self._grows + way + '"' * text
        self._last, self._grows = steps, more
        return before + value + end

    def _way(self, steps: list[str | int]) -> str | None:
        """Give the text from the last value to one at another place; None where that is no place, or lies behind us."""
        last, places = self._last, [tuple(steps[: depth + 1]) for depth in range(len(steps))]
        level = next((depth for depth, (a, b) in enumerate(zip(last, steps, strict=False)) if a != b), len(last))
        kin = (last or [""])[level:]  # what the first step that differs stands beside: a key of the object that all is
        if not (kin and steps[level:]) or type(kin[0]) is not type(steps[level]):
            return None
        if not all(map(self._is_next, places[level:])):
            return None
        self._written.update(places[level:])
        way = self._closing(level + 1) + ", " if last else "{"
        for step, inner in itertools.zip_longest(steps[level:], steps[level + 1 :]):
            way += f"{_json_text(step)}: " if type(step) is str else ""
            way += "" if inner is None else "[" if type(inner) is int else "{"
        return way

    def _is_next(self, place: tuple[str | int, ...]) -> bool:
        """Whether nothing is there yet; and, in a list, something is before it."""
        *around, step = place
        before = (*around, step - 1) if type(step) is int and step else None
        return place not in self._written and (before is None or before in self._written)

    def _closing(self, level: int) -> str:
        return "".join("]" if type(step) is int else "}" for step in reversed(self._last[level:]))


_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d{1,9})\]|\[(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\]""")
_QUOTE = re.compile(r"""\\'|\"""")
_MOST_STEPS = 100


def _steps(path: str) -> list[str | int]:
    """The keys and indices of a path such as `$.a[0]['b c']`; none where it is no path."""
    steps: list[str | int] = []
    at = 1
    while at < len(path) and len(steps) < _MOST_STEPS and (step := _STEP.match(path, at)):
        name, index, single, double = step.groups()
        if index:
            steps.append(int(index))
        else:
            steps.append(name or _unquoted(double if single is None else _QUOTE.sub(_other_quote, single)))
        at = step.end()
    return steps if at >= len(path) and path.startswith("$") else []


def _unquoted(text: str) -> str:
    """A name in double quotes, which JSONPath writes as JSON does; one with another escape stands for itself."""
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text


def _other_quote(found: re.Match[str]) -> str:
    return "'" if found.group() == "\\'" else '\\"'


def _json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> tuple[str, str] | None:
    """Field and text of an event whose only news is one piece of text; the rest of it only says again what was said.

    Vertex AI sends such; in those of the Gemini API the counts change, too.
    """
    candidates, usage = value.get("candidates"), value.get("usageMetadata")
    candidate = candidates[0] if type(candidates) is list and len(candidates) == 1 else None
    if type(candidate) is not dict or candidate.get("index") not in _FIRST or candidate.get("logprobsResult"):
        return None
    if type(usage) is dict and "totalTokenCount" in usage:
        return None
    content = candidate.get("content")
    parts = content.get("parts") if type(content) is dict else None
    part = parts[0] if type(parts) is list and len(parts) == 1 else None
    if type(part) is not dict or part.keys() != {"text"} or type(part["text"]) is not str:
        return None
    return "text", part["text"]


def _piece(value: Any) -> Any:
    """A piece of the answer that is a JSON object, an empty one for None. Any other, dropped, would leave a hole."""
    if value is not None and type(value) is not dict:
        raise DecodeError(
            f"the provider sent {type(value).__name__} where a piece of the answer belongs",
            event=printable(str(value)),
        )
    return value or {}


def _usage(raw: dict[str, Any]) -> Usage:
    """Counts of a usage object. It counts thoughts beside the answer, and what tools brought beside the prompt."""

    def counted(name: str) -> int:
        return count(raw.get(name)) or 0

    prompt = counted("promptTokenCount") + counted("toolUsePromptTokenCount")
    completion = counted("candidatesTokenCount") + counted("thoughtsTokenCount")
    total = counted("totalTokenCount")
    if not (prompt or completion or total):
        return Usage(raw=raw)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=total or prompt + completion,
        reasoning_tokens=counted("thoughtsTokenCount"),
        cache_read_tokens=counted("cachedContentTokenCount"),
        raw=raw,
        source="reported",
    )
