"""generateContent: requests as the Gemini API and Vertex AI want them, and their answers as chunks."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import jsontext
from streamkit.errors import (
    ConfigError,
    ContextOverflow,
    DecodeError,
    Overloaded,
    ProviderError,
    RateLimited,
    ServerError,
    StreamKitError,
    StreamTruncated,
    Unauthorized,
)
from streamkit.framing import Event
from streamkit.providers import Gemini, Vertex
from streamkit.stencil import Stencil
from streamkit.types import (
    ChatRequest,
    FilePart,
    ImagePart,
    Message,
    RawPart,
    ResponseFormat,
    Source,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
    Usage,
    assistant,
    system,
    tool_result,
    user,
)
from tests.corpus import transcripts
from tests.decoding import Decoded, cut, decode, decode_events, difference, error_message, own_transcripts
from tests.strategies import PROPERTY

KEY = "AIza-test-0123456789"
GEMINI = Gemini(KEY, base_url="https://generativelanguage.googleapis.com")
VERTEX = Vertex("ya29.token", project="p-1", location="us-central1")
HELLO = (user("Hello"),)
HI = {"role": "user", "parts": [{"text": "Hi"}]}
ADD = Tool(name="add", description="Adds.", parameters={"type": "object", "properties": {"a": {"type": "integer"}}})
PNG = b"\x89PNG"

EVERY = [*transcripts("gemini-generate-content"), *own_transcripts("gemini")]
STREAMS = [pytest.param(meta["expected"], body, id=name) for name, meta, body in EVERY if meta["status"] < 400]
REFUSED = [pytest.param(meta, body, id=name) for name, meta, body in EVERY if meta["status"] >= 400]


# -- requests


def encoded(request: ChatRequest, provider: Gemini | Vertex = GEMINI) -> dict[str, Any]:
    """The body of a request, as the server reads it."""
    body = provider.codec.encode(request, provider).body
    value: dict[str, Any] = json.loads(body.decode("utf-8"))
    return value


def asked(*messages: Message, **fields: Any) -> ChatRequest:
    """A request for gemini-2.5-flash with these messages and fields."""
    return attrs.evolve(ChatRequest(model="gemini-2.5-flash", messages=messages or HELLO), **fields)


def test_a_plain_request() -> None:
    """The smallest request has contents and nothing else."""
    assert {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]} == encoded(asked())


def test_where_and_how_it_is_sent() -> None:
    """It asks the model for an unencoded event stream, and keeps the key apart."""
    sent = GEMINI.codec.encode(asked(), GEMINI)

    assert sent.url == (
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    )
    assert sent.headers == {
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",
    }
    assert {"x-goog-api-key": KEY} == {name: secret.expose() for name, secret in sent.secrets.items()}
    assert KEY not in repr(sent)


@pytest.mark.parametrize(
    ("base_url", "model", "path"),
    [
        ("http://h", "m", "http://h/v1beta/models/m"),
        ("http://h/v1beta", "m", "http://h/v1beta/models/m"),
        ("http://h/v1", "m", "http://h/v1/models/m"),
        ("http://h/v1alpha/", "m", "http://h/v1alpha/models/m"),
        ("http://v1.example.com/gemini", "m", "http://v1.example.com/gemini/v1beta/models/m"),
        ("http://h/v1/gateway", "m", "http://h/v1/gateway/models/m"),
        ("http://h", "models/m", "http://h/v1beta/models/m"),
        ("http://h", "tunedModels/m", "http://h/v1beta/tunedModels/m"),
        ("http://h", "a b?#é", "http://h/v1beta/models/a%20b%3F%23%C3%A9"),
    ],
)
def test_addresses(base_url: str, model: str, path: str) -> None:
    """The address may hold a version, the model's name its collection; what means something in a URL is quoted."""
    provider = Gemini(KEY, base_url=base_url)
    sent = provider.codec.encode(ChatRequest(model=model, messages=HELLO), provider)

    assert f"{path}:streamGenerateContent?alt=sse" == sent.url


def test_the_key_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's own variables are looked up: the product's before the company's, and the address."""
    monkeypatch.setenv("GOOGLE_API_KEY", "company")
    one = Gemini()
    monkeypatch.setenv("GEMINI_API_KEY", "product")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://h/")
    other = Gemini()

    assert ("company", Gemini.default_base_url) == (_key(one), one.base_url)
    assert ("product", "http://h") == (_key(other), other.base_url)


def test_a_gateway_without_a_key_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no key is needed, as in front of a gateway that has one, no header carries it."""

    class Keyless(Gemini):
        """A gateway that has the key itself."""

        needs_key = False

    for variable in Gemini.key_variables:
        monkeypatch.delenv(variable, raising=False)
    gateway = Keyless(base_url="http://h")

    assert {} == gateway.codec.encode(asked(), gateway).secrets


def _key(provider: Gemini | Vertex) -> str | None:
    secret = provider.secret()
    return secret.expose() if secret else None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"temperature": 0.0}, {"temperature": 0.0}),
        ({"top_p": 0.5, "top_k": 40}, {"topP": 0.5, "topK": 40}),
        ({"max_tokens": 20}, {"maxOutputTokens": 20}),
        ({"stop": ("a", "b")}, {"stopSequences": ["a", "b"]}),
        ({"seed": 0}, {"seed": 0}),
        ({"frequency_penalty": 0.5, "presence_penalty": -1}, {"frequencyPenalty": 0.5, "presencePenalty": -1}),
        ({"logprobs": 0}, {"responseLogprobs": True}),
        ({"logprobs": 3}, {"responseLogprobs": True, "logprobs": 3}),
        ({"thinking": True}, {"thinkingConfig": {"includeThoughts": True}}),
        ({"thinking_budget": 500}, {"thinkingConfig": {"includeThoughts": True, "thinkingBudget": 500}}),
        ({"thinking_budget": 0}, {"thinkingConfig": {"thinkingBudget": 0}}),
        ({"reasoning_effort": "low"}, {"thinkingConfig": {"thinkingLevel": "LOW"}}),
        (
            {"thinking": True, "reasoning_effort": "high"},
            {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": "HIGH"}},
        ),
        ({"response_format": ResponseFormat(type="json")}, {"responseMimeType": "application/json"}),
        (
            {"response_format": ResponseFormat(type="schema", schema={"type": "object"})},
            {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}},
        ),
        ({"provider_options": {"generationConfig": {"candidateCount": 1}}}, {"candidateCount": 1}),
    ],
)
def test_what_a_setting_adds(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each setting adds its field of the API's configuration and nothing else."""
    assert encoded(asked()) | {"generationConfig": expected} == encoded(asked(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt_caching": True},
        {"tool_choice": "auto"},
        {"response_format": ResponseFormat(type="text")},
        {"provider_options": {"generationConfig": None}},
    ],
)
def test_what_asks_for_nothing(fields: dict[str, Any]) -> None:
    """What the API does by itself, or what needs tools that are not there, adds no field."""
    assert encoded(asked()) == encoded(asked(**fields))


def test_provider_options_have_the_last_word() -> None:
    """An object in them is merged into ours, None takes a field out, anything else replaces it."""
    options = {
        "generationConfig": {"temperature": 1, "seed": None, "thinkingConfig": {"thinkingBudget": 9}},
        "safetySettings": [{"category": "C", "threshold": "BLOCK_NONE"}],
    }
    sent = encoded(asked(temperature=0.5, seed=3, thinking=True, provider_options=options))

    assert sent == encoded(asked()) | {
        "generationConfig": {"temperature": 1, "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 9}},
        "safetySettings": [{"category": "C", "threshold": "BLOCK_NONE"}],
    }


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ("add", {"mode": "ANY", "allowedFunctionNames": ["add"]}),
    ],
)
def test_tools_and_the_choice_among_them(choice: str, expected: object) -> None:
    """Tools are declarations with their JSON Schema as it is; a choice by name allows that one only."""
    sent = encoded(asked(tools=(ADD, Tool(name="ping")), tool_choice=choice))

    assert [
        {
            "functionDeclarations": [
                {"name": "add", "description": "Adds.", "parametersJsonSchema": ADD.parameters},
                {"name": "ping", "parametersJsonSchema": {"type": "object", "properties": {}}},
            ]
        }
    ] == sent["tools"]
    assert {"functionCallingConfig": expected} == sent["toolConfig"]


def test_server_side_tools_need_no_tools_of_ours() -> None:
    """Tools given as provider options can be chosen, too: we do not know their names."""
    sent = encoded(asked(tool_choice="required", provider_options={"tools": [{"googleSearch": {}}]}))

    assert ([{"googleSearch": {}}], {"functionCallingConfig": {"mode": "ANY"}}) == (sent["tools"], sent["toolConfig"])


def test_system_messages() -> None:
    """They stand apart, each as a part, wherever they were said."""
    sent = encoded(asked(system("Be brief."), *HELLO, system("Be kind."), system("")))

    assert {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]} == sent["systemInstruction"]
    assert encoded(asked())["contents"] == sent["contents"]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([user(""), user("Hi")], [HI]),
        ([user("Hi"), user("there")], [{"role": "user", "parts": [{"text": "Hi"}, {"text": "there"}]}]),
        ([user("Hi"), assistant("Yes?")], [HI, {"role": "model", "parts": [{"text": "Yes?"}]}]),
        ([user("Hi"), assistant([ThinkingPart(text="hm")])], [HI]),
        ([user("Hi"), assistant([ThinkingPart(text="hm", signature="s", provider="anthropic")])], [HI]),
        ([user("Hi"), assistant([ThinkingPart(redacted="x")])], [HI]),
        ([user("Hi"), assistant([RawPart(provider="anthropic", block={"type": "x"})])], [HI]),
    ],
)
def test_messages(messages: list[Message], expected: list[object]) -> None:
    """Neighbours of one side are one content; empty texts and what means nothing to the API are left out."""
    assert expected == encoded(asked(*messages))["contents"]


@pytest.mark.parametrize("provider", ["", "gemini"])
def test_thoughts_go_back_with_their_signature(provider: str) -> None:
    """Signed thinking is sent again as the part that it was, to the provider that signed it."""
    thought = ThinkingPart(text="hm", signature="s", provider=provider)

    assert [{"text": "hm", "thought": True, "thoughtSignature": "s"}] == (
        encoded(asked(*HELLO, assistant([thought, ThinkingPart(text="no", provider="vertex", signature="v")])))[
            "contents"
        ][1]["parts"]
    )


def test_the_parts_of_an_answer_go_back_as_they_came() -> None:
    """Each signature stands on the very part that had it, and no text stands there twice."""
    _, _, body = next(row for row in own_transcripts("gemini") if row[0] == "signed-parts")
    answer = decode(GEMINI, [body]).response
    results = [tool_result("c-1", "nothing"), tool_result("c-2", '{"found": [1]}')]
    sent = encoded(asked(*HELLO, *answer.messages, *results))["contents"]

    assert sent[1]["parts"] == [
        {"text": "Let me see.", "thought": True, "thoughtSignature": "dGhvdWdodA=="},
        {"text": "I will "},
        {"text": "look.", "thoughtSignature": "dGV4dA=="},
        {"functionCall": {"id": "c-1", "name": "look", "args": {"at": "é"}}, "thoughtSignature": "Y2FsbA=="},
        {"functionCall": {"id": "c-2", "name": "look", "args": {"at": "b"}}},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thoughtSignature": "aW1hZ2U="},
    ]
    assert sent[2]["parts"] == [
        {"functionResponse": {"id": "c-1", "name": "look", "response": {"result": "nothing"}}},
        {"functionResponse": {"id": "c-2", "name": "look", "response": {"found": [1]}}},
    ]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["Hi"], [{"text": "Hi", "thoughtSignature": "s"}]),
        (["Oh Hi"], [{"text": "Oh "}, {"text": "Hi", "thoughtSignature": "s"}]),
        (["Other"], [{"text": "Other"}, {"text": "Hi", "thoughtSignature": "s"}]),
        ([], [{"text": "Hi", "thoughtSignature": "s"}]),
    ],
)
def test_a_signed_text_is_sent_once(said: list[str], expected: list[object]) -> None:
    """It is taken out of the text before it where that ends in it, as it does unless somebody changed it."""
    raw = RawPart(provider="gemini", block={"text": "Hi", "thoughtSignature": "s"})

    assert expected == encoded(asked(*HELLO, assistant([*said, raw])))["contents"][1]["parts"]


@pytest.mark.parametrize(
    ("model", "signatures"),
    [
        ("gemini-2.5-flash", [None, None]),
        ("gemini-3-flash-preview", ["skip_thought_signature_validator", None]),
        ("models/gemini-3.5-pro", ["skip_thought_signature_validator", None]),
        ("gemini-10-pro", ["skip_thought_signature_validator", None]),
        ("gemini-flash-lite-latest", ["skip_thought_signature_validator", None]),
    ],
)
def test_calls_that_nobody_signed(model: str, signatures: list[str | None]) -> None:
    """Newer models refuse another provider's calls, but for the API's own word on the first of those made together."""
    calls = [ToolCallPart(id="a", name="f", input="{}"), ToolCallPart(id="b", name="g", input="{}")]
    sent = encoded(attrs.evolve(asked(*HELLO, assistant(calls)), model=model))["contents"][1]["parts"]

    assert signatures == [part.get("thoughtSignature") for part in sent]


def test_a_signed_call_stays_as_it_is() -> None:
    """A call made beside a signed one needs no signature, nor does text."""
    calls = [ToolCallPart(id="a", name="f", input="", signature="s"), ToolCallPart(id="b", name="g", input="")]
    sent = encoded(attrs.evolve(asked(*HELLO, assistant(["Hm", *calls])), model="gemini-3-pro"))["contents"][1]["parts"]

    text = encoded(attrs.evolve(asked(*HELLO, assistant("Hm")), model="gemini-3-pro"))["contents"][1]["parts"]

    assert [None, "s", None] == [part.get("thoughtSignature") for part in sent]
    assert [{"text": "Hm"}] == text


@pytest.mark.parametrize(
    ("provider", "signature"), [("", "s"), ("gemini", "s"), ("vertex", "skip_thought_signature_validator")]
)
def test_whose_signature_goes_back(provider: str, signature: str) -> None:
    """A call's signature means something to the provider alone that gave it."""
    call = ToolCallPart(id="a", name="f", input="", signature="s", provider=provider)
    sent = encoded(attrs.evolve(asked(*HELLO, assistant(call)), model="gemini-3-pro"))["contents"][1]["parts"]

    assert [signature] == [part["thoughtSignature"] for part in sent]


@pytest.mark.parametrize(
    ("output", "is_error", "expected"),
    [
        ("text", False, {"result": "text"}),
        ("", False, {"result": ""}),
        ('{"a": 1}', False, {"a": 1}),
        ("{}", False, {}),
        ("[1]", False, {"result": "[1]"}),
        ('{"a": NaN}', False, {"result": '{"a": NaN}'}),
        ('{"a": 1e999}', False, {"result": '{"a": 1e999}'}),
        ('{"a":' * 100_000, False, {"result": '{"a":' * 100_000}),
        ("no such file", True, {"error": "no such file"}),
        ('{"a": 1}', True, {"error": '{"a": 1}'}),
        ("", True, {"error": "the tool failed"}),
    ],
)
def test_results_of_tools(output: str, is_error: bool, expected: object) -> None:
    """A result that is a JSON object is sent as such, any other under a key of its own, a failure under another."""
    result = ToolResultPart(tool_call_id="c", output=output, is_error=is_error)
    sent = encoded(asked(*HELLO, assistant([ToolCallPart(id="c", name="f", input="")]), user([result])))["contents"][2]

    assert {"role": "user", "parts": [{"functionResponse": {"id": "c", "name": "f", "response": expected}}]} == sent


def test_the_names_of_results() -> None:
    """A result has the name of its call: by the call's id, in order where the API gave none; ids are not made up."""
    calls = [ToolCallPart(id="", name=name, input="{}") for name in ("f", "g")]
    results = [tool_result("", "1"), tool_result("", "2")]
    named = tool_result("x", "3", tool_name="h")
    sent = encoded(asked(*HELLO, assistant(calls), *results, assistant(calls), *results, named))["contents"]

    assert [["f", "g"], ["f", "g", "h"]] == [
        [part["functionResponse"]["name"] for part in turn["parts"]] for turn in (sent[2], sent[4])
    ]
    assert [None, None, "x"] == [part["functionResponse"].get("id") for part in sent[4]["parts"]]
    assert [{"functionCall": {"name": "f", "args": {}}}, {"functionCall": {"name": "g", "args": {}}}] == sent[1][
        "parts"
    ]


def test_results_come_before_what_the_user_adds() -> None:
    """The API wants them right after the calls."""
    call = assistant([ToolCallPart(id="c", name="f", input="")])
    sent = encoded(asked(*HELLO, call, user(["So?", ToolResultPart(tool_call_id="c", output="1")])))["contents"][2]

    assert ["functionResponse", "text"] == [next(iter(part)) for part in sent["parts"]]


def test_images_in_a_result() -> None:
    """They are parts of the response."""
    result = ToolResultPart(tool_call_id="c", tool_name="f", output="ok", images=(ImagePart(data=PNG),))
    sent = encoded(asked(*HELLO, assistant([ToolCallPart(id="c", name="f", input="")]), user([result])))["contents"][2]

    assert [{"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}}] == sent["parts"][0]["functionResponse"][
        "parts"
    ]


def test_arguments_that_are_no_object() -> None:
    """They go back under a key that shows the model its mistake."""
    calls = [ToolCallPart(id="", name="f", input=text) for text in ("", "{oops", "[1]")]
    sent = encoded(asked(*HELLO, assistant(calls)))["contents"][1]["parts"]

    assert [{}, {"INVALID_JSON": "{oops"}, {"INVALID_JSON": "[1]"}] == [part["functionCall"]["args"] for part in sent]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (ImagePart(data=PNG), {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}}),
        (
            ImagePart(url="https://h/a.JPG?x=1.gif"),
            {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://h/a.JPG?x=1.gif"}},
        ),
        (ImagePart(url="https://h/a"), {"fileData": {"mimeType": "image/png", "fileUri": "https://h/a"}}),
        (
            ImagePart(url="gs://b/a.png", media_type="image/webp"),
            {"fileData": {"mimeType": "image/webp", "fileUri": "gs://b/a.png"}},
        ),
        (
            ImagePart(url="data:image/png;base64,iVBORw=="),
            {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}},
        ),
        (FilePart(data=b"%PDF"), {"inlineData": {"mimeType": "application/pdf", "data": "JVBERg=="}}),
        (FilePart(data=b"x", media_type="audio/wav"), {"inlineData": {"mimeType": "audio/wav", "data": "eA=="}}),
        (FilePart(data=b"{}", name="a.json"), {"inlineData": {"mimeType": "text/plain", "data": "e30="}}),
        (FilePart(data=PNG), {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}}),
        (FilePart(url="gs://b/a.txt"), {"fileData": {"mimeType": "text/plain", "fileUri": "gs://b/a.txt"}}),
        (
            FilePart(url="https://h/v1beta/files/x", media_type="video/mp4"),
            {"fileData": {"mimeType": "video/mp4", "fileUri": "https://h/v1beta/files/x"}},
        ),
        (FilePart(url="data:text/plain,Hi"), {"inlineData": {"mimeType": "text/plain", "data": "SGk="}}),
    ],
)
def test_images_and_files(part: ImagePart | FilePart, expected: object) -> None:
    """Bytes are sent with their type, addresses with the type that was said or that they end in."""
    assert [{"text": "Look:"}, expected] == encoded(asked(user(["Look:", part])))["contents"][0]["parts"]


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (ChatRequest(model="", messages=HELLO), "no model"),
        (ChatRequest(model="../x", messages=HELLO), "lead elsewhere"),
        (ChatRequest(model="m"), "no messages: add one with .user(...)"),
        (asked(user("")), "no messages but empty ones"),
        (asked(assistant([ThinkingPart(text="hm")])), "no messages but empty ones"),
        (asked(parallel_tool_calls=False), "parallel"),
        (asked(reasoning_effort="max"), "minimal, low, medium, high, xhigh"),
        (asked(reasoning_effort="low", thinking_budget=9), "not both"),
        (asked(temperature=2.5), "from 0 to 2"),
        (asked(stop=tuple("abcdef")), "at most 5"),
        (asked(provider_options={"n": 2}), "n above 1"),
        (asked(provider_options={"generationConfig": {"candidateCount": 2}}), "candidateCount above 1"),
        (asked(tool_choice="required"), "without tools"),
        (asked(tools=(ADD,), tool_choice="sub"), "unknown tool_choice 'sub'"),
        (asked(temperature=float("nan")), "from 0 to 2"),
        (asked(top_p=float("nan")), "cannot be written as JSON"),
        (asked(user([ImagePart(data=b"GIF8")])), "image/gif"),
        (asked(user([FilePart(data=b"GIF8")])), "image/gif"),
        (asked(user([FilePart(data=b"x", name="a.docx")])), "give a PDF, a text, an image, audio or video"),
        (asked(user([FilePart()])), "is empty"),
        (asked(Message(role="system", content=[ImagePart(url="http://u")]), *HELLO), "user message"),
        (asked(*HELLO, tool_result("c", "1")), "give tool_name"),
        (asked(*HELLO, tool_result("", "1")), "give tool_name"),
        (asked(headers={"X-Goog-Api-Key": "k"}), "api_key"),
    ],
)
def test_what_is_refused_before_it_is_sent(request_: ChatRequest, says: str) -> None:
    """What the API cannot do, or no request can carry, is a ConfigError that says what to do."""
    with pytest.raises(ConfigError) as caught:
        GEMINI.codec.encode(request_, GEMINI)

    assert says in str(caught.value)


# -- Vertex AI


@pytest.mark.parametrize(
    ("provider", "url"),
    [
        (VERTEX, "https://us-central1-aiplatform.googleapis.com/v1/projects/p-1/locations/us-central1"),
        (
            Vertex("t", project="p-1", location="global"),
            "https://aiplatform.googleapis.com/v1/projects/p-1/locations/global",
        ),
        (Vertex("t", base_url="https://h/projects/p/locations/l"), "https://h/projects/p/locations/l/v1"),
        (Vertex("t", base_url="https://h/v1beta1/projects/p/locations/l/"), "https://h/v1beta1/projects/p/locations/l"),
        (
            Vertex("t", base_url="https://h/v1/projects/p/locations/l/publishers/google"),
            "https://h/v1/projects/p/locations/l",
        ),
    ],
)
def test_vertex_addresses(provider: Vertex, url: str) -> None:
    """They name project and location; the model is Google's, and the key a bearer token."""
    sent = provider.codec.encode(asked(), provider)

    assert f"{url}/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse" == sent.url
    assert f"Bearer {_key(provider)}" == sent.secrets["Authorization"].expose()


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("models/m", "publishers/google/models/m"),
        ("publishers/other/models/m@1", "publishers/other/models/m@1"),
        ("endpoints/123", "endpoints/123"),
    ],
)
def test_vertex_models(model: str, path: str) -> None:
    """A name may be of another publisher, or of an endpoint of one's own."""
    sent = VERTEX.codec.encode(ChatRequest(model=model, messages=HELLO), VERTEX)

    assert f"/locations/us-central1/{path}:streamGenerateContent" in sent.url


def test_vertex_without_a_project() -> None:
    """An address that names none is refused, with the form that it should have."""
    nowhere = Vertex("t", base_url="https://aiplatform.googleapis.com")

    with pytest.raises(ConfigError, match="projects/PROJECT/locations/LOCATION"):
        nowhere.codec.encode(asked(), nowhere)


def test_vertex_travels() -> None:
    """Pickled, it keeps its address; tokens are asked for anew, once a request."""
    tokens = iter(["a", "b"])
    rotating = Vertex(lambda: next(tokens), project="p", location="l")
    sent = [rotating.codec.encode(asked(), rotating).secrets["Authorization"].expose() for _ in range(2)]

    assert ["Bearer a", "Bearer b"] == sent
    with pytest.raises(ConfigError, match="GOOGLE_OAUTH_ACCESS_TOKEN"):
        pickle.loads(pickle.dumps(VERTEX))


def test_signatures_of_the_one_mean_nothing_to_the_other() -> None:
    """Gemini's thoughts and raw blocks are not sent to Vertex AI, nor the other way."""
    thought = ThinkingPart(text="hm", signature="s", provider="gemini")
    sent = encoded(asked(*HELLO, assistant([thought, RawPart(provider="gemini", block={"text": "x"}), "Yes"])), VERTEX)

    assert [{"text": "Yes"}] == sent["contents"][1]["parts"]


# -- models


def test_where_models_are_listed() -> None:
    """The largest page is asked for, with the key; Vertex AI has the list beside the projects."""
    ours, cloud = GEMINI.codec.list_models(GEMINI), VERTEX.codec.list_models(VERTEX)

    assert ("GET", "https://generativelanguage.googleapis.com/v1beta/models?pageSize=1000") == (ours.method, ours.url)
    assert {"x-goog-api-key": KEY} == {name: secret.expose() for name, secret in ours.secrets.items()}
    assert "https://us-central1-aiplatform.googleapis.com/v1beta1/publishers/google/models?pageSize=1000" == cloud.url
    assert ["Authorization"] == list(cloud.secrets)


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ({"models": [{"name": "models/gemini-2.5-flash"}, {"name": "models/a"}]}, ["gemini-2.5-flash", "a"]),
        ({"models": [{"name": "tunedModels/mine"}]}, ["tunedModels/mine"]),
        ({"publisherModels": [{"name": "publishers/google/models/gemini-3"}]}, ["gemini-3"]),
        ({"models": [None, 5, {}, {"name": 5}, {"name": "models/a"}]}, ["a"]),
        ({"models": 5}, []),
        ({}, []),
        ([], []),
        (None, []),
        ("models", []),
    ],
)
def test_names_of_models(answer: object, names: list[str]) -> None:
    """They are as a request takes them; what is not as expected is skipped."""
    assert names == GEMINI.codec.model_names(answer)


# -- recorded answers


@pytest.mark.parametrize(("expected", "body"), STREAMS)
def test_a_recorded_answer_whole(expected: dict[str, Any], body: bytes) -> None:
    """Every recording, read at once, gives exactly what was said in it."""
    assert {} == difference(expected, decode(GEMINI, [body]))


@pytest.mark.parametrize(("expected", "body"), STREAMS)
def test_a_recorded_answer_byte_by_byte(expected: dict[str, Any], body: bytes) -> None:
    """Every recording, read byte by byte, gives exactly what was said in it."""
    assert {} == difference(expected, decode(GEMINI, (body[i : i + 1] for i in range(len(body)))))


@PROPERTY
@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 100_000), max_size=12))
def test_a_recorded_answer_in_any_blocks(transcript: Any, places: list[int]) -> None:
    """Where the network cuts a recording makes no difference."""
    expected, body = transcript.values

    assert {} == difference(expected, decode(GEMINI, cut(body, places)))


@PROPERTY
@given(st.sampled_from(STREAMS), st.integers(0, 100_000))
def test_a_recording_cut_anywhere(transcript: Any, place: int) -> None:
    """What is cut off gives the beginning of the same chunks, and is complete only if the finish reason had come."""
    _, body = transcript.values
    whole, part = decode(GEMINI, [body]), decode(GEMINI, [body[: place % (len(body) + 1)]])
    seen = [c for c in part.chunks if c.type not in ("tool_call", "tool_call_delta", "step_finish")]

    assert seen == [attrs.evolve(c, index=s.index) for c, s in zip(_same(whole), seen, strict=False)]
    assert part.response.complete == (part.error is None) == (part.response.raw_finish_reason is not None) or (
        part.error is not None and isinstance(whole.error, ProviderError)
    )
    if part.error is not None:
        assert not [c for c in part.chunks if c.type == "step_finish"]


def _same(decoded: Decoded) -> list[Any]:
    return [c for c in decoded.chunks if c.type not in ("tool_call", "tool_call_delta", "step_finish")]


@pytest.mark.parametrize(("meta", "body"), REFUSED)
def test_a_recorded_error_answer(meta: dict[str, Any], body: bytes) -> None:
    """An error answer becomes an error with its status and Google's words."""
    error = GEMINI.codec.error("gemini", meta["status"], meta["headers"], body)

    assert meta["status"] == error.status
    assert error_message(meta["expected"]) in str(error)


def test_classes_of_recorded_errors() -> None:
    """A wrong key, which comes as 400, a long prompt and a quota are told apart; the quota says when to try again."""
    errors = {
        name: (type(error), error.code, error.retry_after)
        for name, meta, body in own_transcripts("gemini")
        if (error := GEMINI.codec.error("gemini", meta["status"], {}, body)).status == meta["status"] >= 400
    }

    assert {
        "key-not-valid": (Unauthorized, "API_KEY_INVALID", None),
        "prompt-too-long": (ContextOverflow, "INVALID_ARGUMENT", None),
        "quota-exceeded": (RateLimited, "RESOURCE_EXHAUSTED", 34.4),
    } == errors


# -- answers of all kinds


def said(*events: object) -> Decoded:
    """What becomes of these events, each a JSON value, a text, or an `Event`."""
    made = [e if isinstance(e, Event) else Event(e if isinstance(e, str) else json.dumps(e)) for e in events]
    return decode_events(GEMINI, [made])


def piece(*parts: object, finish: object = None, index: object = 0, **event: Any) -> dict[str, Any]:
    """An event with one candidate of these parts."""
    candidate = {"index": index, "content": {"role": "model", "parts": list(parts)}, "finishReason": finish}
    return {"responseId": "r-1", "modelVersion": "m-1", "candidates": [candidate], **event}


def calling(**function: Any) -> dict[str, Any]:
    """An event with a function call."""
    return piece({"functionCall": function})


def pieces(*args: tuple[str, Any], more: bool = True, go_on: bool = False) -> dict[str, Any]:
    """An event with pieces of a call's arguments, each a path and a value; `go_on`: of which more will come."""
    made = [
        {
            "jsonPath": path,
            {str: "stringValue", bool: "boolValue", type(None): "nullValue"}.get(type(value), "numberValue"): value,
            **({"willContinue": True} if go_on else {}),
        }
        for path, value in args
    ]
    return calling(partialArgs=made, **({"willContinue": True} if more else {}))


def calls_of(decoded: Decoded) -> list[tuple[str, str, Any]]:
    """Id, name and arguments of the calls of a response."""
    return [(c.id, c.name, c.arguments) for c in decoded.response.tool_calls]


TEXT = piece({"text": "Hi"})
STOP = piece(finish="STOP")
BEGIN = calling(name="f", willContinue=True)


@pytest.mark.parametrize(
    ("events", "text", "thinking"),
    [
        ([TEXT, STOP], "Hi", ""),
        ([piece({"text": "Hi"}, finish="STOP")], "Hi", ""),
        ([TEXT, piece({"text": ""}, finish="STOP")], "Hi", ""),
        ([piece({"text": "H"}, {"text": "i"}), STOP, STOP], "Hi", ""),
        ([piece({"text": "hm", "thought": True}), piece({"text": "Hi", "thought": False}), STOP], "Hi", "hm"),
        ([piece({"text": "hm", "thought": True}, {"text": "Hi"}), STOP], "Hi", "hm"),
        ([{}, {"candidates": None}, {"candidates": []}, TEXT, STOP], "Hi", ""),
        ([{"candidates": [None, 5, {}]}, {"candidates": [{"content": None}]}, TEXT, STOP], "Hi", ""),
        ([{"candidates": [{"content": {}}]}, {"candidates": [{"content": {"parts": None}}]}, TEXT, STOP], "Hi", ""),
        ([{"candidates": {"content": {"parts": {"text": "Hi"}}, "finishReason": "STOP"}}], "Hi", ""),
        ([piece({"text": "Hi"}, index=None), STOP], "Hi", ""),
        ([piece({"text": "No"}, index=1), TEXT, piece({"text": "No"}, index=2), STOP], "Hi", ""),
        ([{"candidates": [{"content": {"parts": [{"text": t}]}} for t in ("Hi", "No")]}, STOP], "Hi", ""),
        ([piece(None, {}, {"text": None}, {"text": "Hi", "partMetadata": {"a": 1}}), STOP], "Hi", ""),
        ([piece({"text": "Hi", "newField": 5}), STOP], "Hi", ""),
        (["null", "3", '"x"', "[1]", TEXT, STOP], "Hi", ""),
        ([Event("", "message"), Event("tick", "ping"), Event("{}", "new-kind"), TEXT, STOP], "Hi", ""),
        ([piece({"text": "\x00 \u2028"}), STOP], "\x00 \u2028", ""),
        (
            [
                '{"candidates":[{"content":{"parts":[{"text":"\\ud83d"}]}}]}',
                '{"candidates":[{"content":{"parts":[{"text":"\\ude00"}]}}]}',
                STOP,
            ],
            "😀",
            "",
        ),
        (['{"candidates":[{"content":{"parts":[{"text":"a\\ud83d"}]}}]}', STOP], "a\ufffd", ""),
        ([STOP, TEXT], "Hi", ""),
        ([TEXT, STOP, "[DONE]", piece({"text": "late"}), "no JSON"], "Hi", ""),
        ([TEXT, STOP, " [DONE] ", "no JSON"], "Hi", ""),
        ([json.dumps([TEXT, STOP], indent=1)], "Hi", ""),
    ],
)
def test_text_and_thinking(events: list[object], text: str, thinking: str) -> None:
    """Text and thinking come whole, once and apart, in whatever company; of several candidates the first is read."""
    decoded = said(*events)

    assert (text, thinking, None) == (decoded.response.text, decoded.response.thinking, decoded.error)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([calling(id="c", name="f", args={"x": 1})], [("c", "f", {"x": 1})]),
        ([calling(name="f")], [("", "f", {})]),
        ([calling(name="f", args=None)], [("", "f", {})]),
        ([calling(name="f", args={})], [("", "f", {})]),
        ([calling(name="f", args='{"x": 1}')], [("", "f", {"x": 1})]),
        ([calling(args={"x": 1})], [("", "", {"x": 1})]),
        ([calling(name="f", args={"é": "\ud83d"})], [("", "f", {"é": "\ufffd"})]),
        (
            [piece({"functionCall": {"name": "f"}}, {"functionCall": {"name": "f"}}, {"functionCall": {}})],
            [("", "f", {}), ("", "f", {})],
        ),
        ([calling(id="c", name="f"), calling(id="c", name="f")], [("c", "f", {}), ("c", "f", {})]),
        ([BEGIN, calling()], [("", "f", {})]),
        ([BEGIN, pieces(("$.a", "x"), more=False)], [("", "f", {"a": "x"})]),
        ([BEGIN, pieces(("$.a", "x"))], [("", "f", {"a": "x"})]),
        (
            [BEGIN, pieces(("$.a", "x"), go_on=True), pieces(("$.a", "y"), go_on=True), pieces(("$.a", "")), calling()],
            [("", "f", {"a": "xy"})],
        ),
        (
            [BEGIN, pieces(("$.a", "x"), go_on=True), pieces(("$.b", "y"), go_on=True), calling()],
            [("", "f", {"a": "x", "b": "y"})],
        ),
        (
            [BEGIN, pieces(("$.a", 'x"'), go_on=True), pieces(("$.a", "\\\n"), ("$.b.c", "é"), ("$.b.d", ""))],
            [("", "f", {"a": 'x"\\\n', "b": {"c": "é", "d": ""}})],
        ),
        ([BEGIN, pieces(("$.a[0][0]", 1), ("$.a[0][1].b", 2), ("$.a[1]", 3))], [("", "f", {"a": [[1, {"b": 2}], 3]})]),
        ([BEGIN, pieces(("$.a", 1)), pieces(("$.b", 2)), pieces(more=False)], [("", "f", {"a": 1, "b": 2})]),
        (
            [BEGIN, calling(partialArgs=[{"jsonPath": "$.a", "structValue": {"b": [1]}}])],
            [("", "f", {"a": {"b": [1]}})],
        ),
        (
            [BEGIN, pieces(("$.a[0].b", 1), ("$.a[1]", True), ("$.a[2][0]", None), ("$['c d']", 0.5)), calling()],
            [("", "f", {"a": [{"b": 1}, True, [None]], "c d": 0.5})],
        ),
        ([BEGIN, pieces((r"""$["a\"b"]['c\'"d']['\u00e9']""", 1))], [("", "f", {'a"b': {"c'\"d": {"é": 1}}})]),
        ([BEGIN, pieces((r"$['\x']", 1))], [("", "f", {r"\x": 1})]),
        (
            [calling(name="f", args={"a": 1}, willContinue=True), pieces(("$.b", 2), more=False)],
            [("", "f", {"a": 1, "b": 2})],
        ),
        ([BEGIN, calling(name="f", partialArgs=[{"jsonPath": "$.a", "numberValue": 1}])], [("", "f", {"a": 1})]),
        ([BEGIN, calling(args={"a": 1})], [("", "f", {"a": 1})]),
        ([BEGIN, BEGIN, pieces(("$.a", 1), more=False)], [("", "f", {}), ("", "f", {"a": 1})]),
        (
            [BEGIN, calling(id="b", name="f", partialArgs=[{"jsonPath": "$.a", "numberValue": 1}])],
            [("", "f", {}), ("b", "f", {"a": 1})],
        ),
        ([BEGIN, calling(name="g", args={})], [("", "f", {}), ("", "g", {})]),
        ([BEGIN, calling(partialArgs=[{"jsonPath": "$.a", "willContinue": True}]), STOP], [("", "f", {})]),
    ],
)
def test_tool_calls(events: list[object], expected: list[tuple[str, str, Any]]) -> None:
    """Calls come whole or in pieces, with an id or without, and are told from one another all the same."""
    decoded = said(*events, STOP)

    assert (expected, None) == (calls_of(decoded), decoded.error)
    assert ("tool_calls", "STOP") == (decoded.response.finish_reason, decoded.response.raw_finish_reason)
    assert "".join(c.tool_input for c in decoded.chunks if c.type == "tool_call_delta") == "".join(
        call.input for call in decoded.response.tool_calls
    )


def test_the_chunks_of_a_call() -> None:
    """A call begins, brings its arguments and is whole, in its place among the texts."""
    call = {"functionCall": {"id": "c", "name": "f", "args": {"x": 1}}, "thoughtSignature": "s"}
    decoded = said(piece({"text": "Hm"}, call, {"text": "!"}), STOP)

    assert ["text", "tool_call_start", "tool_call_delta", "tool_call", "text", "step_finish"] == [
        c.type for c in decoded.chunks
    ]
    assert {"signature": "s"} == decoded.chunks[3].metadata
    assert ToolCallPart(id="c", name="f", input='{"x": 1}', signature="s") in decoded.response.messages[0].content


@pytest.mark.parametrize(
    "path",
    [
        "", "a", "$", "$.", "$.a.", "$..a", "$[-1]", "$[x]", "$[0]", "$.a[1]", "$.a[9999999999]",
        "$.b", "$.b.c", "$.b[0]", "$.c", "$.c[0]", "$.c[3]", "$.c[0].d", "$.c[1].d.e", "$.c[1][0]", "$.c.d",
    ],
)  # fmt: skip
def test_pieces_that_fit_nowhere(path: str) -> None:
    """A call with one is kept, with what could be put together, and marked: it must not be executed."""
    good = pieces(("$.b", 1), ("$.c[0]", 2), ("$.c[1].d", 3))
    made = said(BEGIN, good, pieces((path, 4)), pieces(("$.z", 5), more=False), STOP).response.tool_calls[0]

    assert (False, {"b": 1, "c": [2, {"d": 3}], "z": 5}) == (made.complete, json.loads(made.input))


def test_a_place_that_was_left() -> None:
    """Values come in the order of the text; what would have to go before its end is marked, not lost or doubled."""
    made = said(BEGIN, pieces(("$.a.b", 1), ("$.c", 2), ("$.a.d", 3)), STOP).response.tool_calls[0]

    assert (False, '{"a": {"b": 1}, "c": 2}') == (made.complete, made.input)


def test_arguments_that_come_twice() -> None:
    """Whole arguments after pieces of them cannot both be meant."""
    made = said(BEGIN, pieces(("$.a", 1)), calling(args={"a": 2}), STOP).response.tool_calls[0]

    assert (False, '{"a": 1}') == (made.complete, made.input)


def test_pieces_are_shown_as_they_come() -> None:
    """Each makes a fragment of the JSON text."""
    decoder = GEMINI.codec.decoder(asked(), GEMINI)
    events = [BEGIN, pieces(("$.a", "x"), go_on=True), pieces(("$.a", "y")), pieces(("$.b[0]", 1)), calling()]
    told = [[getattr(c, "tool_input", c.type) for c in decoder.feed([Event(json.dumps(e))])] for e in events]

    assert [["tool_call_start"], ['{"a": "x'], ['y"'], [', "b": [1'], ["]}", '{"a": "xy", "b": [1]}']] == told


def test_a_path_without_end() -> None:
    """Nesting has a bound, so that a path cannot make arguments which nobody can walk."""
    decoded = said(BEGIN, pieces(("$" + ".a" * 10_000, 2)), calling(), STOP)

    assert ([False], None) == ([call.complete for call in decoded.response.tool_calls], decoded.error)


def test_pieces_of_no_call() -> None:
    """Arguments of a call that never began are an error: a call with a hole must not look whole."""
    assert isinstance(said(pieces(("$.a", 1)), STOP).error, DecodeError)


@pytest.mark.parametrize(("finish", "complete"), [("STOP", True), ("MAX_TOKENS", False), ("SAFETY", False)])
def test_a_call_that_the_answer_ends_in(finish: str, complete: bool) -> None:
    """It is whole if the model meant to stop there."""
    decoded = said(BEGIN, pieces(("$.a", "x"), go_on=True), piece(finish=finish))

    assert [(complete, '{"a": "x"}')] == [(call.complete, call.input) for call in decoded.response.tool_calls]


@pytest.mark.parametrize("last", [[], [{"error": {"code": 500, "message": "boom"}}]])
def test_half_a_call_is_never_whole(last: list[object]) -> None:
    """A stream that is cut within a call keeps what had come of it, as no whole call."""
    decoded = said(BEGIN, pieces(("$.a", "x"), go_on=True), *last)

    assert [] == [c for c in decoded.chunks if c.type == "tool_call"]
    assert [(False, '{"a": "x')] == [(call.complete, call.input) for call in decoded.response.tool_calls]
    assert isinstance(decoded.error, ServerError if last else StreamTruncated)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("STOP", "stop"),
        ("stop", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "error"),
        ("UNEXPECTED_TOOL_CALL", "error"),
        ("LANGUAGE", "other"),
        ("OTHER", "other"),
        ("BRAND_NEW", "other"),
    ],
)
def test_finish_reasons(raw: str, expected: str) -> None:
    """Google's word becomes one of ours and stays readable."""
    response = said(TEXT, piece(finish=raw)).response

    assert (expected, raw, True) == (response.finish_reason, response.raw_finish_reason, response.complete)


@pytest.mark.parametrize(
    ("raw", "expected"), [("STOP", "tool_calls"), ("OTHER", "tool_calls"), ("SAFETY", "content_filter")]
)
def test_finish_reason_beside_calls(raw: str, expected: str) -> None:
    """Calls that were made are to be answered, where nothing else ended the answer."""
    assert expected == said(calling(name="f"), piece(finish=raw)).response.finish_reason


def test_the_last_finish_reason_counts() -> None:
    """It may be said in every event, and more than once at the end."""
    response = said(piece({"text": "a"}, finish="STOP"), piece({"text": "b"}, finish="MAX_TOKENS"), STOP, TEXT).response

    assert ("abHi", "stop", "STOP") == (response.text, response.finish_reason, response.raw_finish_reason)


@pytest.mark.parametrize("reason", [None, "", 5, [], "FINISH_REASON_UNSPECIFIED"])
def test_no_finish_reason(reason: object) -> None:
    """What says nothing does not make an answer complete, nor does the end of the body, nor another service's sign."""
    for events in ([TEXT, piece(finish=reason)], [TEXT, piece(finish=reason), "[DONE]"]):
        decoded = said(*events)

        assert isinstance(decoded.error, StreamTruncated)
        assert ("cut off" in str(decoded.error), "Hi") == (True, decoded.response.text)


@pytest.mark.parametrize("events", [[], ["[DONE]"], [{}], [{"candidates": []}], [{"usageMetadata": {}}]])
def test_no_candidate(events: list[object]) -> None:
    """An answer without a candidate has nothing in it."""
    decoded = said(*events)

    assert isinstance(decoded.error, StreamTruncated)
    assert "no candidate" in str(decoded.error)


@pytest.mark.parametrize(
    "feedback", [{"blockReason": "PROHIBITED_CONTENT"}, {"blockReason": "OTHER", "blockReasonMessage": "because"}]
)
def test_a_prompt_that_is_refused(feedback: dict[str, Any]) -> None:
    """It is a complete answer that says so; what it cost is kept, and what had come before."""
    decoded = said(TEXT, {"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 7}})
    response = decoded.response

    assert decoded.error is None
    assert (True, "content_filter", None) == (response.complete, response.finish_reason, response.raw_finish_reason)
    assert ("Hi", 7) == (response.text, response.usage.prompt_tokens)
    assert feedback == response.provider_metadata["gemini"]["promptFeedback"]


def test_feedback_that_blocks_nothing() -> None:
    """Ratings of the prompt are metadata; an answer with a finish reason is one, whatever is said of the prompt."""
    rated = {"promptFeedback": {"safetyRatings": [{"category": "C"}]}}

    unspecified = {"promptFeedback": {"blockReason": "BLOCK_REASON_UNSPECIFIED"}}

    assert said(rated, TEXT, STOP).error is None
    assert isinstance(said(unspecified, TEXT).error, StreamTruncated)
    assert said(TEXT, STOP, {"promptFeedback": {"blockReason": "OTHER"}}).error is None


@pytest.mark.parametrize(
    ("event", "error", "says"),
    [
        ({"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}, Overloaded, "busy"),
        ({"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED"}}, RateLimited, "quota"),
        ({"error": {"message": "quota", "status": "RESOURCE_EXHAUSTED"}}, RateLimited, "quota"),
        ({"error": {"code": 500, "message": "internal", "status": "INTERNAL"}}, ServerError, "internal"),
        ([{"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}], Overloaded, "busy"),
        ({"error": "boom"}, ProviderError, "boom"),
        ({"error": 5}, ProviderError, "without a message"),
        (Event('{"code": 503, "message": "busy"}', "error"), Overloaded, "busy"),
        (Event("boom", "error"), ProviderError, "boom"),
        (Event('"boom"', "error"), ProviderError, "boom"),
        ({**TEXT, "error": {"code": 503, "message": "busy"}}, Overloaded, "busy"),
        ({"message": "bad gateway"}, ProviderError, "bad gateway"),
        ({"detail": "boom"}, ProviderError, "boom"),
        ({"code": 500, "msg": "boom"}, ServerError, "boom"),
        (
            {
                "error": {
                    "code": 400,
                    "message": "API key expired.",
                    "details": [{"@type": "t/ErrorInfo", "reason": "API_KEY_INVALID"}],
                }
            },
            Unauthorized,
            "API key expired. (check the API key)",
        ),
    ],
)
def test_error_events(event: object, error: type[ProviderError], says: str) -> None:
    """An error in the stream ends it with the class its status would have had, after what came."""
    decoded = said(TEXT, event)

    assert error is type(decoded.error)
    assert says in str(decoded.error)
    assert decoded.response.text.startswith("Hi")


def test_what_an_error_event_says() -> None:
    """It keeps Google's word and when to try again; what came beside the error is kept, too."""
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3s"}
    failed = {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": [retry]}
    decoded = said(piece({"text": "Hi"}, usageMetadata={"promptTokenCount": 5}, error=failed))
    error = decoded.error

    assert isinstance(error, RateLimited)
    assert ("RESOURCE_EXHAUSTED", 429, 3.0, "gemini") == (error.code, error.status, error.retry_after, error.provider)
    assert ("Hi", 5) == (decoded.response.text, decoded.response.usage.prompt_tokens)


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([], Usage()),
        ([{}], Usage()),
        (
            [{"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}],
            Usage(prompt_tokens=10, completion_tokens=5, total_tokens=15),
        ),
        (
            [{"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 7, "totalTokenCount": 22}],
            Usage(prompt_tokens=10, completion_tokens=12, total_tokens=22, reasoning_tokens=7),
        ),
        (
            [{"promptTokenCount": 10, "toolUsePromptTokenCount": 3, "cachedContentTokenCount": 8}],
            Usage(prompt_tokens=13, total_tokens=13, cache_read_tokens=8),
        ),
        (
            [{"promptTokenCount": 10, "candidatesTokenCount": 1}, {"promptTokenCount": 10, "candidatesTokenCount": 9}],
            Usage(prompt_tokens=10, completion_tokens=9, total_tokens=19),
        ),
        ([{"promptTokenCount": 10}, {"trafficType": "ON_DEMAND"}], Usage(prompt_tokens=10, total_tokens=10)),
        ([{"promptTokenCount": -1, "candidatesTokenCount": 2.5, "totalTokenCount": "9"}], Usage()),
        ([{"promptTokenCount": True, "candidatesTokenCount": 2.0}], Usage(completion_tokens=2, total_tokens=2)),
        ([5, "x", [1]], Usage()),
    ],
)
def test_usage(reports: list[Any], expected: Usage) -> None:
    """The last report counts and none is added up; thoughts are of the answer, what tools brought of the prompt."""
    decoded = said(TEXT, *({**TEXT, "usageMetadata": report} for report in reports), STOP)
    usage = decoded.response.usage

    assert expected == attrs.evolve(usage, raw={}, source="unknown")
    assert ("reported" if expected.total_tokens else "unknown") == usage.source
    assert ([r for r in reports if isinstance(r, dict)] or [{}])[-1] == usage.raw


def test_usage_after_the_finish_reason() -> None:
    """It is read up to the end of the body."""
    assert 7 == said(TEXT, STOP, {"usageMetadata": {"totalTokenCount": 7}}).response.usage.total_tokens


@pytest.mark.parametrize(
    ("beside", "expected"),
    [
        (
            {"groundingMetadata": {"groundingChunks": [{"web": {"uri": "u", "title": "t", "domain": "d"}}]}},
            [Source(url="u", title="t", metadata={"domain": "d"})],
        ),
        (
            {"groundingMetadata": {"groundingChunks": [{"retrievedContext": {"text": "x", "fileSearchStore": "s"}}]}},
            [Source(text="x", metadata={"fileSearchStore": "s"})],
        ),
        (
            {"groundingMetadata": {"groundingChunks": [{"maps": {"uri": "u", "placeId": "p", "title": "t"}}]}},
            [Source(url="u", title="t", id="p")],
        ),
        (
            {"groundingMetadata": {"groundingChunks": [{"image": {"sourceUri": "u", "imageUri": "i"}}]}},
            [Source(url="u", metadata={"imageUri": "i"})],
        ),
        (
            {"citationMetadata": {"citationSources": [{"startIndex": 1, "endIndex": 5, "uri": "u", "license": "mit"}]}},
            [Source(url="u", metadata={"startIndex": 1, "endIndex": 5, "license": "mit"})],
        ),
        (
            {"citationMetadata": {"citations": [{"uri": "u", "endIndex": 5}, {"uri": "u", "endIndex": 9}]}},
            [Source(url="u", metadata={"endIndex": 5}), Source(url="u", metadata={"endIndex": 9})],
        ),
        ({"groundingMetadata": {"groundingChunks": [None, 5, {"web": 5}, {"web": {}}, {}]}}, []),
        ({"groundingMetadata": 5, "citationMetadata": [1]}, []),
        ({"citationMetadata": {"citations": {"uri": 5}}}, []),
    ],
)
def test_sources(beside: dict[str, Any], expected: list[Source]) -> None:
    """Each source comes once, though events repeat it, with what is said of it; the whole is metadata, too."""
    early = {name: value | {"new": 1} if isinstance(value, dict) else value for name, value in beside.items()}
    decoded = said(*({**TEXT, "candidates": [{**TEXT["candidates"][0], **said}]} for said in (early, beside)), STOP)

    assert expected == [c.source for c in decoded.chunks if c.type == "source"] == list(decoded.response.sources)
    assert early == decoded.response.provider_metadata["gemini"]


def test_parts_that_only_google_understands() -> None:
    """They are kept as they are, in their place, as blocks for the next turn."""
    raw = [
        {"executableCode": {"code": "1+1", "language": "PYTHON"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}, "thoughtSignature": "s"},
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}, "text": ""},
        {"thoughtSignature": "s"},
        {"text": "", "thoughtSignature": "s"},
        {"newKind": 5},
    ]
    decoded = said(piece({"text": "See: "}, *raw[:2]), piece({"text": "2"}, *raw[2:]), STOP)
    parts = decoded.response.messages[0].content

    assert [p.block if isinstance(p, RawPart) else getattr(p, "text", None) for p in parts] == [
        "See: ",
        *raw[:2],
        "2",
        *raw[2:],
    ]
    assert {"gemini"} == {p.provider for p in parts if isinstance(p, RawPart)}
    assert "See: 2" == decoded.response.text


def test_log_probabilities() -> None:
    """They are metadata of the text that they belong to."""
    one, two = TEXT, piece({"text": "H"}, {"text": "i"})
    chosen = {"chosenCandidates": [{"token": "Hi"}]}
    events = [{"candidates": [{**event["candidates"][0], "logprobsResult": chosen}]} for event in (two, one, one, one)]
    decoded = said(*events, STOP)

    assert [{"logprobs": chosen}, {}, *[{"logprobs": chosen}] * 3] == [
        dict(c.metadata) for c in decoded.chunks if c.type == "text"
    ]


def test_metadata() -> None:
    """Id and model are the answer's; what else is said beside it is kept, the latest."""
    finished = {"candidates": [{"finishReason": "STOP", "finishMessage": "done", "avgLogprobs": -0.5}]}
    decoded = said({**TEXT, "createTime": "t1"}, {**TEXT, "responseId": "r-2", "createTime": "t2"}, finished)
    response = decoded.response

    assert ("r-1", "m-1") == (response.response.id, response.response.model)
    assert {"createTime": "t2", "finishMessage": "done", "avgLogprobs": -0.5} == response.provider_metadata["gemini"]


@pytest.mark.parametrize(
    "event",
    [
        "no JSON",
        "{",
        piece({"text": 42}),
        piece({"text": ["x"]}),
        piece({"text": False}),
        piece("Hi"),
        piece({"functionCall": "f"}),
        {"candidates": [{"content": "Hi"}]},
        {"candidates": [{"content": {"parts": "Hi"}}]},
        calling(name="f", willContinue=True, partialArgs=["x"]),
    ],
)
def test_what_cannot_be_understood(event: object) -> None:
    """No JSON, or something else where the answer belongs, is an error: one with a hole must not look whole."""
    decoded = said(TEXT, event, STOP)

    assert isinstance(decoded.error, DecodeError)
    assert "Hi" == decoded.response.text


def _deep(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


@pytest.mark.parametrize(
    "event",
    [
        '{"candidates":[{"index":' + "1" * 5000 + "}]}",
        "[" * 100_000 + "]" * 100_000,
        '{"new":' + _deep(5000) + "}",
        '{"error":' + _deep(5000) + "}",
        '{"candidates":[{"content":{"parts":[{"newKind":' + _deep(5000) + "}]}}]}",
    ],
)
def test_hostile_json(event: str) -> None:
    """Numbers without end and nesting without bottom are errors of ours."""
    assert isinstance(said(TEXT, event, STOP).error, (DecodeError, ProviderError))


@pytest.mark.parametrize("more", ["", ',"willContinue":true'])
def test_hostile_arguments(more: str) -> None:
    """Nested without bottom they are an error, or, where the interpreter can read them, kept as text and marked."""
    function = f'{{"name":"f","args":{_deep(5000)}{more}}}'
    decoded = said(TEXT, f'{{"candidates":[{{"content":{{"parts":[{{"functionCall":{function}}}]}}}}]}}', STOP)

    assert (DecodeError, []) == (type(decoded.error), calls_of(decoded)) or (
        [(None, False)] == [(call.arguments, call.complete) for call in decoded.response.tool_calls]
    )


# -- properties

_NAMES = [
    "candidates", "content", "parts", "text", "thought", "thoughtSignature", "functionCall", "name", "args", "id",
    "partialArgs", "jsonPath", "stringValue", "nullValue", "willContinue", "executableCode", "index", "finishReason",
    "usageMetadata", "promptTokenCount", "promptFeedback", "blockReason", "error", "message", "status", "details",
    "@type", "retryDelay", "groundingMetadata", "groundingChunks", "web", "uri", "title", "citationMetadata",
    "citations", "logprobsResult", "responseId", "modelVersion", "new",
]  # fmt: skip
_TEXTS = st.sampled_from(
    ["", "Hi", "{", "{}", '{"a":1}', "STOP", "MAX_TOKENS", "SAFETY", "$.a", "$.a[0]", "$.b", "$", "5s", "RetryInfo",
     "\x00", "é", "\ud83d", "\ude00", "a", "b"]
)  # fmt: skip
_ATOMS = st.none() | st.booleans() | st.integers(-1, 2) | st.floats() | st.just(10**400) | _TEXTS
_VALUES = st.recursive(
    _ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4),
    max_leaves=8,
)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object with some of these fields, now and then any value in its place."""
    return st.integers(0, 9).flatmap(lambda n: st.fixed_dictionaries({}, optional=fields) if n else _VALUES)


_PIECE = _some(jsonPath=_TEXTS, stringValue=_TEXTS, numberValue=_ATOMS, willContinue=st.booleans())
_FUNCTION = _some(
    name=_TEXTS, id=_TEXTS, args=_VALUES, willContinue=st.booleans(), partialArgs=st.lists(_PIECE, max_size=3)
)
_PART = _some(text=_TEXTS, thought=st.booleans(), thoughtSignature=_TEXTS) | _some(
    functionCall=_FUNCTION, thoughtSignature=_TEXTS, executableCode=_VALUES
)
_CANDIDATE = _some(
    index=st.just(0),
    content=_some(parts=st.lists(_PART, max_size=3)),
    finishReason=_TEXTS,
    groundingMetadata=_VALUES,
    citationMetadata=_VALUES,
    logprobsResult=_VALUES,
    new=_VALUES,
)
_ANSWER = _some(
    candidates=st.lists(_CANDIDATE, max_size=2),
    usageMetadata=_VALUES,
    promptFeedback=_VALUES,
    responseId=_ATOMS,
    modelVersion=_ATOMS,
    new=_VALUES,
)
_EVENTS = st.lists(
    st.builds(
        Event,
        st.builds(json.dumps, _ANSWER | _some(error=_VALUES))
        | st.sampled_from(["[DONE]", "", "x", "{}", json.dumps(TEXT), json.dumps(STOP), json.dumps(BEGIN)]),
        st.sampled_from(["message"] * 8 + ["error", "ping", "new"]),
    ),
    max_size=6,
)


@PROPERTY
@given(_EVENTS)
def test_nothing_but_our_errors_comes_out(events: list[Event]) -> None:
    """Whatever a server sends, decoding gives well-formed chunks, without gaps, that fold, or an error of ours."""
    decoded = decode_events(GEMINI, [events])

    assert decoded.error is None or isinstance(decoded.error, StreamKitError)
    assert list(range(len(decoded.chunks))) == [c.index for c in decoded.chunks]
    assert "".join(c.content for c in decoded.chunks if c.type == "text") == decoded.response.text
    assert "".join(c.content for c in decoded.chunks if c.type == "thinking") == decoded.response.thinking
    assert decoded.response.complete == (decoded.error is None) == ("step_finish" in [c.type for c in decoded.chunks])
    assert [c.tool_call_id for c in decoded.chunks if c.type == "tool_call_start"] == [
        c.id for c in decoded.response.tool_calls
    ]
    assert "".join(c.tool_input for c in decoded.chunks if c.type == "tool_call_delta") == "".join(
        c.input for c in decoded.response.tool_calls
    )
    for chunk in decoded.chunks:
        repr(attrs.asdict(chunk)).encode("utf-8")
        assert type(chunk.content) is str


_LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6)
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.text(max_size=3), inner, min_size=1),
    max_leaves=8,
)


def _leaves(value: Any, path: str = "$") -> Iterator[dict[str, Any]]:
    """The pieces that bring a value, each text in two."""
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, inner in value.items():
            quoted = json.dumps(name) if "'" in name else "'" + json.dumps(name)[1:-1].replace('\\"', '"') + "'"
            yield from _leaves(inner, f"{path}[{quoted}]")
    elif isinstance(value, str):
        yield {"jsonPath": path, "stringValue": value[:2], "willContinue": True}
        yield {"jsonPath": path, "stringValue": value[2:]}
    else:
        kind = {bool: "boolValue", int: "numberValue"}.get(type(value), "nullValue")
        yield {"jsonPath": path, kind: value}


@PROPERTY
@given(st.dictionaries(st.text(max_size=3), _TREES, min_size=1, max_size=3))
def test_arguments_in_pieces_are_the_arguments(arguments: dict[str, Any]) -> None:
    """Whatever they are, put together they are what was taken apart, and their text is that of the fragments."""
    events = [calling(partialArgs=[piece], willContinue=True) for piece in _leaves(arguments)]
    decoded = said(BEGIN, *events, calling(), STOP)

    assert [("", "f", arguments)] == calls_of(decoded)
    assert json.dumps(arguments, ensure_ascii=False) == decoded.response.tool_calls[0].input


@PROPERTY
@given(_EVENTS)
def test_batches_make_no_difference(events: list[Event]) -> None:
    """Events give the same chunks one by one as all at once."""
    together, alone = decode_events(GEMINI, [events]), decode_events(GEMINI, [[e] for e in events])

    assert repr((together.chunks, together.error)) == repr((alone.chunks, alone.error))


_ALIKE = st.lists(
    st.tuples(
        st.text(max_size=6) | _TEXTS,
        st.sampled_from(["", "", "", ',"thought":true', ',"thoughtSignature":"s"']),
        st.sampled_from(["", "", "", ',"finishReason":"STOP"', ',"finishReason":"OTHER"', ',"safetyRatings":[1]']),
        st.sampled_from(
            ['"trafficType":"T"'] * 3 + ['"trafficType":"U"', '"totalTokenCount":1', '"totalTokenCount":2']
        ),
        st.sampled_from(["t1"] * 5 + ["t2"]),
    ),
    max_size=16,
)


def _alike(text: str, in_part: str, in_candidate: str, usage: str, time: str) -> Event:
    candidate = f'{{"content":{{"parts":[{{"text":{json.dumps(text)}{in_part}}}]}}{in_candidate}}}'
    return Event(f'{{"candidates":[{candidate}],"usageMetadata":{{{usage}}},"createTime":"{time}"}}')


@PROPERTY
@given(_ALIKE)
def test_the_quick_way_gives_what_the_ordinary_one_gives(facts: Sequence[tuple[str, str, str, str, str]]) -> None:
    """Reading events by their likeness to earlier ones, and by msgspec, changes nothing that comes out."""
    events = [_alike(*fact) for fact in facts]
    quick = decode_events(GEMINI, [events])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stencil, "read", lambda self, text: None)
        patch.setattr(jsontext, "_fast_decode", lambda: None)
        ordinary = decode_events(GEMINI, [events])

    assert repr((ordinary.chunks, ordinary.error, ordinary.response)) == repr(
        (quick.chunks, quick.error, quick.response)
    )


def test_the_quick_way_is_gone_once_something_changed() -> None:
    """An event like those before the change would change it back, so it is read in full."""
    early, late = ({**TEXT, "createTime": time, "usageMetadata": {"trafficType": "T"}} for time in ("t1", "t2"))
    decoded = said(early, early, early, late, early)

    assert "Hi" * 5 == decoded.response.text
    assert "t1" == decoded.response.provider_metadata["gemini"]["createTime"]


@pytest.mark.parametrize(("expected", "body"), STREAMS)
def test_recordings_the_ordinary_way(expected: dict[str, Any], body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every recording gives the same without the quick way and without msgspec."""
    monkeypatch.setattr(Stencil, "read", lambda self, text: None)
    monkeypatch.setattr(jsontext, "_fast_decode", lambda: None)

    assert {} == difference(expected, decode(GEMINI, [body]))
