"""What every codec does to a request: the POST that carries it, and what is refused before."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs
import pytest

from streamkit.codec import Capabilities, HttpRequest
from streamkit.encoding import (
    CallIds,
    bearer,
    call_input,
    content,
    function_call,
    function_tool,
    get,
    given,
    image_objections,
    is_own,
    key_header,
    media_objections,
    merged,
    objections,
    own_thinking,
    post,
    refuse,
    result_text,
    results,
    speaks,
    system_objections,
    turns,
)
from streamkit.errors import ConfigError
from streamkit.providers import OpenAICompatible
from streamkit.schema_rules import OPENAI_STRICT, StrictRules
from streamkit.types import (
    ChatRequest,
    FilePart,
    ImagePart,
    Message,
    ResponseFormat,
    Secret,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
    assistant,
    system,
    tool_result,
    user,
)

# -- the POST


def test_a_post() -> None:
    """A body goes out as compact JSON in UTF-8 that asks for an unencoded event stream; secrets do not print."""
    sent = post("http://h", {"é": "\ud83d😀"}, headers={"X-Version": "1"}, secrets={"X-Key": Secret("hidden")})

    assert sent == HttpRequest(
        url="http://h",
        body='{"é":"\ufffd😀"}'.encode(),
        headers={
            "Content-Type": "application/json",
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "X-Version": "1",
        },
        secrets={"X-Key": Secret("hidden")},
    )
    assert "hidden" not in repr(sent)


def test_mappings_and_tuples_are_json() -> None:
    """Any mapping is an object and any sequence of the common kinds a list."""
    assert b'{"a":{"b":[1,2]}}' == post("u", MappingProxyType({"a": MappingProxyType({"b": (1, 2)})})).body


def _circle() -> Mapping[str, Any]:
    circle: dict[str, Any] = {}
    circle["a"] = circle
    return circle


def _deep() -> Mapping[str, Any]:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    return deep


NO_BODIES: list[Any] = [{"a": object()}, {"a": {1}}, {"a": b"x"}, {(1,): 2}, {"a": float("nan")}, _circle(), _deep()]


@pytest.mark.parametrize("body", NO_BODIES, ids=range(len(NO_BODIES)))
def test_bodies_that_are_no_json(body: Mapping[Any, Any]) -> None:
    """They are refused before they are sent."""
    with pytest.raises(ConfigError, match="cannot be written as JSON"):
        post("u", body)


def test_own_headers() -> None:
    """The user's headers win, whatever their case; white space around a value is no part of it."""
    sent = post("u", {}, headers={"X-A": "ours"}, own={"x-a": " mine ", "ACCEPT": "*/*", "X-B": "é"})

    assert {
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        "x-a": "mine",
        "ACCEPT": "*/*",
        "X-B": "é",
    } == sent.headers


@pytest.mark.parametrize("name", ["Authorization", "authorization", "X-API-Key", "api-key", "x-goog-api-key", "Cookie"])
def test_own_credentials_are_kept_apart(name: str) -> None:
    """A header that carries a credential is a secret, whoever sets it."""
    sent = post("u", {}, own={name: "hidden"})

    assert {name: Secret("hidden")} == sent.secrets
    assert name not in sent.headers


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"X-A": "a\nb"}, "header X-A: .*control"),
        ({"X-A": "a\x00"}, "header X-A: .*control"),
        ({"X-A": "世"}, "header X-A: .*no HTTP header can carry"),
        ({"X-A": 5}, "header X-A must be a str"),
        ({"X A": "a"}, "'X A' cannot be the name"),
        ({"": "a"}, "'' cannot be the name"),
        ({"X-A\n": "a"}, "cannot be the name"),
        ({5: "a"}, "5 cannot be the name"),
        ({"content-length": "1"}, "leave it out"),
        ({"Transfer-Encoding": "chunked"}, "leave it out"),
        ({"AUTHORIZATION": "x"}, "api_key"),
    ],
)
def test_own_headers_that_are_refused(own: Any, says: str) -> None:
    """What no header can carry, what would break the message and what would replace the key; no value is shown."""
    with pytest.raises(ConfigError, match=says) as caught:
        post("u", {}, secrets={"Authorization": Secret("Bearer x")}, own=own)

    assert "a\nb" not in str(caught.value)


# -- tool calls


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": [1]}', {"a": [1]}),
        ("", {}),
        (" ", {}),
        ("{", {"INVALID_JSON": "{"}),
        ("[1]", {"INVALID_JSON": "[1]"}),
        ("null", {"INVALID_JSON": "null"}),
    ],
)
def test_arguments_as_an_object(text: str, expected: dict[str, Any]) -> None:
    """An API that wants an object gets one, with what was no object under a key that says so."""
    assert expected == call_input(text)


def test_a_tool_as_a_function() -> None:
    """It has its description only where there is one."""
    schema = {"type": "object", "properties": {}}

    assert function_tool(Tool(name="f", description="F.", parameters=schema)) == {
        "type": "function",
        "function": {"name": "f", "description": "F.", "parameters": schema},
    }
    assert {"name", "parameters"} == set(function_tool(Tool(name="f"))["function"])


def test_the_key_as_a_bearer() -> None:
    """It stands after the word, in a header that does not print; without a key there is no header."""
    assert {"Authorization": Secret("Bearer k")} == bearer(Secret("k"))
    assert [{}, {}] == [bearer(None), bearer(Secret(""))]


def test_the_key_in_another_header() -> None:
    """It stands there by itself, but for the one header that has the word before it."""
    assert {"x-key": Secret("k")} == key_header("x-key", Secret("k"))
    assert {"Authorization": Secret("Bearer k")} == key_header("Authorization", Secret("k"))
    assert [{}, {}] == [key_header("x-key", None), key_header("x-key", Secret(""))]


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost/v1", True),
        ("http://127.1.2.3:80/v1", True),
        ("https://[::1]:80/v1", True),
        ("http://192.168.0.1/v1", False),
        ("http://localhost.example.com/v1", False),
        ("http://127.0.0.1.example.com/v1", False),
    ],
)
def test_a_server_of_this_machine_is_reached_past_proxies(url: str, here: bool) -> None:
    """Where that is wanted; another server never is."""
    assert [here, here] == [post(url, {}, direct=True).direct, get(url, direct=True).direct]
    assert [False, False] == [post(url, {}).direct, get(url).direct]


def test_a_call_as_a_function() -> None:
    """Its arguments are its text, an object where there is none."""
    call = ToolCallPart(id="", name="f", input="")

    assert {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}} == function_call(call, "c")
    assert '{"a"' == function_call(attrs.evolve(call, input='{"a"'), "c")["function"]["arguments"]


# -- messages

PNG = ImagePart(data=b"png")
PNG_SENT = {"type": "image_url", "image_url": {"url": "data:image/png;base64,cG5n"}}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], ""),
        (["a", "b"], "ab"),
        ([TextPart(text="a", cache=True)], "a"),
        (["a", PNG], [{"type": "text", "text": "a"}, PNG_SENT]),
        (
            [ImagePart(url="https://u", detail="low")],
            [{"type": "image_url", "image_url": {"url": "https://u", "detail": "low"}}],
        ),
        (
            [FilePart(data=b"pdf", name="n")],
            [{"type": "file", "file": {"filename": "n", "file_data": "data:application/pdf;base64,cGRm"}}],
        ),
        ([ToolCallPart(id="c", name="f", input=""), ThinkingPart(text="h")], ""),
    ],
)
def test_content(parts: list[Any], expected: object) -> None:
    """Text alone is a text; with images or files it is a list of parts."""
    assert expected == content(user(parts))


def test_content_with_marks() -> None:
    """A text that is to be cached is marked where the API knows marks."""
    marked = content(user([TextPart(text="a", cache=True), "b"]), marks=True)

    assert [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "b"},
    ] == marked
    assert "b" == content(user("b"), marks=True)


def test_turns() -> None:
    """Neighbours of one side become one turn, under the API's own names; what is empty is none."""
    messages = [user("a"), tool_result("c", "b"), assistant([]), assistant("c"), user([])]
    parts = {"made": lambda message: [{"role of": message.role} for _ in message.content]}

    assert [
        {"role": "user", "parts": [{"role of": "user"}, {"role of": "tool"}]},
        {"role": "model", "parts": [{"role of": "assistant"}]},
    ] == turns(messages, parts["made"], assistant="model", content="parts")
    with pytest.raises(ConfigError, match="no messages but empty ones"):
        turns([user([])], parts["made"])


def test_results_are_messages_by_themselves() -> None:
    """A message of results alone says nothing else; an empty one is a message all the same."""
    message = user([ToolResultPart(tool_call_id="c", output="24"), "Well?"])

    assert [{"role": "tool", "tool_call_id": "c", "content": "24"}] == results(message, CallIds())
    assert [True, False, True] == [speaks(message), speaks(tool_result("c", "24")), speaks(user([]))]


def test_what_is_given_back_to_whom() -> None:
    """A provider gets its own thinking, and that of nobody known."""
    thoughts = [ThinkingPart(text=f"<{name}>", provider=name) for name in ("acme", "other", "")]

    assert "<acme><>" == own_thinking(assistant(["x", *thoughts]), "acme")
    assert [True, False, True] == [is_own(thought, "acme") for thought in thoughts]


def test_what_was_not_asked_for() -> None:
    """Is left out; what is false, or empty, was asked for."""
    assert {"a": 0, "b": False, "c": []} == given({"a": 0, "b": False, "c": [], "d": None})


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (ToolResultPart(tool_call_id="c", output="24"), "24"),
        (ToolResultPart(tool_call_id="c", output=""), ""),
        (ToolResultPart(tool_call_id="c", output="no", is_error=True), "Error: no"),
        (ToolResultPart(tool_call_id="c", output="", is_error=True), "Error: the tool failed"),
        (ToolResultPart(tool_call_id="c", output="ERROR: no", is_error=True), "ERROR: no"),
    ],
    ids=str,
)
def test_results_and_failures_as_text(result: ToolResultPart, text: str) -> None:
    """A failure says that it is one, once."""
    assert text == result_text(result)


def test_ids_of_calls_and_results() -> None:
    """Ids are kept; a call without one gets one, and so does the result that comes in its turn; else there is none."""
    ids = CallIds()
    calls = [ids.of_call(ToolCallPart(id=id, name="f", input="")) for id in ("", "a", "")]
    results = [ids.of_result(ToolResultPart(tool_call_id=id)) for id in ("", "a", "", "")]

    assert (["call_1", "a", "call_2"], ["call_1", "a", "call_2", ""]) == (calls, results)


def test_options_have_the_last_word() -> None:
    """An object is merged into ours, None takes a field out, anything else replaces it; ours is left as it was."""
    ours = {"a": {"b": 1, "c": {"d": 2}}, "e": [1], "f": 3}
    options = MappingProxyType({"a": {"c": {"d": None, "x": 4}}, "e": {"y": 5}, "f": None, "z": None, "n": {"m": None}})

    assert {"a": {"b": 1, "c": {"x": 4}}, "e": {"y": 5}, "n": {"m": None}} == merged(ours, options)
    assert {"a": {"b": 1, "c": {"d": 2}}, "e": [1], "f": 3} == ours


def test_a_get() -> None:
    """It has no body and asks for JSON; secrets do not print."""
    assert get("u", headers={"X-A": "a"}, secrets={"X-Key": Secret("hidden")}) == HttpRequest(
        url="u",
        body=b"",
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "X-A": "a"},
        secrets={"X-Key": Secret("hidden")},
        method="GET",
    )


# -- what a provider cannot do

ALL = Capabilities(
    parallel_tool_calls=True, tool_result_images=True, files=True, citations=True, thinking=True, thinking_budget=True,
    reasoning_effort=True, prompt_caching=True, prefill=True, top_k=True, logprobs=True,
)  # fmt: skip
NOTHING = Capabilities(
    tools=False, required_tool=False, named_tool=False, images=False, image_urls=False, file_urls=False, json=False,
    json_schema=False, seed=False, stop=False, penalties=False,
)  # fmt: skip
TOOL = Tool(name="f")
EVERYTHING = ChatRequest(
    model="m",
    messages=(
        system("Be brief."),
        user([ImagePart(url="https://u"), ImagePart(data=b"?"), FilePart(data=b"?"), FilePart(url="https://u")]),
        Message(role="tool", content=[ToolResultPart(tool_call_id="c", images=(ImagePart(data=b"?"),))]),
    ),
    temperature=0.5, max_tokens=9, top_p=0.5, top_k=5, stop=("x",), seed=1, frequency_penalty=1, presence_penalty=1,
    logprobs=1, tools=(TOOL,), tool_choice="required", parallel_tool_calls=True, prompt_caching=True,
    response_format=ResponseFormat(type="schema", schema={}), thinking=True, thinking_budget=1, reasoning_effort="low",
)  # fmt: skip


def test_who_can_do_everything_objects_to_nothing() -> None:
    """A request that uses every field goes through where every capability is there."""
    assert [] == list(objections(EVERYTHING, ALL))


@pytest.mark.parametrize(
    ("capability", "says"),
    [
        ("tools", "it calls no tools: leave them out"),
        ("required_tool", "use tool_choice auto or none"),
        ("parallel_tool_calls", "no switch for parallel tool calls: leave it out"),
        ("tool_result_images", "no images in a tool's result: have the tool give text, or send them"),
        ("images", "it takes no images: leave them out"),
        ("image_urls", "it fetches no images: send their bytes"),
        ("files", "it takes no files: send their text"),
        ("file_urls", "it fetches no files: send their bytes"),
        ("thinking", "no switch for thinking: use .reasoning_effort(...)"),
        ("thinking_budget", "no thinking budget: use .reasoning_effort(...)"),
        ("reasoning_effort", "no reasoning effort: leave it out"),
        ("prompt_caching", "not known to cache prompts: leave out .prompt_caching() and cache=True"),
        ("json_schema", "it takes no JSON Schema: ask for JSON in the prompt"),
        ("seed", "it knows no seed: leave it out"),
        ("stop", "it knows no stop texts: leave them out"),
        ("top_k", "it knows no top_k: leave it out"),
        ("penalties", "it knows no penalties: leave them out"),
        ("logprobs", "leave logprobs out"),
    ],
)
def test_what_is_missing_is_refused(capability: str, says: str) -> None:
    """Each capability that is not there is one objection, which says what to do."""
    lacking: dict[str, Any] = {capability: False}
    told = list(objections(EVERYTHING, attrs.evolve(ALL, **lacking)))

    assert {True} == {says in objection for objection in told}


@pytest.mark.parametrize(
    ("fields", "can", "says"),
    [
        ({"model": ""}, ALL, "no model"),
        ({"messages": (system("x"),)}, ALL, "no messages: add one with .user(...)"),
        ({"provider_options": {"n": 2}}, ALL, "n above 1 is not read"),
        ({"tool_choice": "f"}, attrs.evolve(ALL, named_tool=False), "by name: use tool_choice auto, none or required"),
        (
            {"tool_choice": "f"},
            attrs.evolve(ALL, named_tool=False, required_tool=False),
            "by name: use tool_choice auto or none",
        ),
        ({"tool_choice": "g"}, ALL, "unknown tool_choice 'g': use auto, none, required or one of f"),
        ({"tools": ()}, ALL, "tool_choice 'required' without tools"),
        ({"tools": (TOOL, TOOL)}, ALL, "two tools are called f: rename one of them"),
        ({"tools": (Tool(name=""),)}, ALL, "a tool without a name"),
        (
            {"tools": (Tool(name="f", parameters={"type": "x"}),)},
            ALL,
            "of the tool f cannot be sent: $.type: 'x' is no",
        ),
        ({"tools": (Tool(name="f", parameters={"type": "array"}),)}, ALL, 'the tool f must be of type "object"'),
        ({"response_format": ResponseFormat(type="json")}, NOTHING, "no JSON mode without a schema: ask for JSON"),
        ({"response_format": ResponseFormat(type="json")}, attrs.evolve(ALL, json=False), "with .json_schema(...), or"),
        ({"response_format": ResponseFormat(type="schema")}, ALL, "needs a schema: give one with .json_schema(...)"),
        ({"thinking": True}, NOTHING, "no switch for thinking: leave it out, or use .provider_options(...)"),
        ({"messages": (user([FilePart()]),)}, ALL, "the file file.pdf is empty: give it data, or a url"),
        (
            {"messages": (user([FilePart(data=b"?", citations=True)]),)},
            attrs.evolve(ALL, citations=False),
            "leave citations out",
        ),
    ],
)
def test_what_cannot_be_asked_for(fields: dict[str, Any], can: Capabilities, says: str) -> None:
    """Requests that make no sense to anybody, and what takes two facts to be refused."""
    assert says in "\n".join(objections(attrs.evolve(EVERYTHING, **fields), can))


@pytest.mark.parametrize(
    ("fields", "limits", "says"),
    [
        ({"stop": ("a", "b", "c")}, {"most_stops": 2}, "3 stop texts are too many: give at most 2"),
        ({"temperature": 1.5}, {"most_temperature": 1}, "temperature 1.5 is out of range: give one from 0 to 1"),
        ({"temperature": -0.1}, {"most_temperature": 1}, "temperature -0.1 is out of range"),
        ({"reasoning_effort": "x"}, {"efforts": ("low", "high")}, "unknown reasoning_effort 'x': use one of low, high"),
    ],
)
def test_limits(fields: dict[str, Any], limits: dict[str, Any], says: str) -> None:
    """What is known of a setting's values is held against it; where nothing is, the server says."""
    request = ChatRequest(model="m", messages=(user("Hi"),), **fields)

    assert [] == list(objections(request, ALL))
    assert [True] == [said.startswith(says) for said in objections(request, attrs.evolve(ALL, **limits))]
    assert [] == list(objections(ChatRequest(model="m", messages=request.messages), attrs.evolve(ALL, **limits)))


def test_what_is_said_where_only_some_may_say_it() -> None:
    """Images and files by the user only, and text only by the system, at the APIs that are so."""
    request = ChatRequest(model="m", messages=(system([PNG]), user([PNG])))  # type: ignore[arg-type]

    assert ["images and files can only be sent in a user message, not in one of role 'system'"] == list(
        media_objections(request)
    )
    assert ["a system message can hold text only: put images and files into a user message"] == list(
        system_objections(request)
    )
    assert [] == [*media_objections(EVERYTHING), *system_objections(EVERYTHING)]


def test_the_first_objection_is_the_error() -> None:
    """It names the provider; without any there is none."""
    acme = OpenAICompatible(base_url="http://h/v1", name="acme")
    refuse(acme, [])
    with pytest.raises(ConfigError, match=r"^acme: no$"):
        refuse(acme, iter(["no", "never"]))


@pytest.mark.parametrize("choice", ["auto", "none", None])
def test_a_choice_without_tools_that_asks_for_nothing(choice: str | None) -> None:
    """It is let through, as is a choice among tools that only the provider knows."""
    request = attrs.evolve(EVERYTHING, tools=(), tool_choice=choice)
    served = attrs.evolve(EVERYTHING, tools=(), tool_choice="theirs", provider_options={"tools": [{}]})

    assert [[], []] == [list(objections(request, ALL)), list(objections(served, ALL))]


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (ImagePart(data=b"12345"), "an image of 5 bytes is too large: it takes at most 4"),
        (ImagePart(data=b"BM"), "no images of type image/bmp: convert it to one of image/png, image/jpeg"),
        (ImagePart(url="data:image/bmp;base64,Qk0="), "no images of type image/bmp"),
    ],
    ids=str,
)
def test_images_that_are_refused(image: ImagePart, says: str) -> None:
    """Size and type count, in a message and in a tool's result, and for a data: URL, too."""
    can = attrs.evolve(ALL, image_bytes=4)
    shown = Message(role="tool", content=[ToolResultPart(tool_call_id="c", images=(image,))])

    assert says in "".join(image_objections(image, can))
    for message in (user([image]), shown):
        assert says in "".join(objections(ChatRequest(model="m", messages=(*EVERYTHING.messages[:1], message)), can))


OPEN = {"type": "object", "properties": {"items": {"type": "array", "items": {"type": "object"}}}}


@pytest.mark.parametrize(
    ("schema", "strict", "rules", "says"),
    [
        (OPEN, True, OPENAI_STRICT, '$: must have "additionalProperties": false'),
        (OPEN, True, OPENAI_STRICT, "(or give strict=False)"),
        (OPEN, True, OPENAI_STRICT, "$.properties.items.items: must have"),
        (OPEN, False, StrictRules(always=True), '$: must have "additionalProperties": false'),
        ({"type": "x"}, False, OPENAI_STRICT, "$.type: 'x' is no type"),
        ({"type": "x"}, True, None, "$.type: 'x' is no type"),
        ({"type": "x"}, True, OPENAI_STRICT, "$.type: 'x' is no type"),
    ],
)
def test_schemas_that_are_refused(schema: dict[str, Any], strict: bool, rules: StrictRules | None, says: str) -> None:
    """By the provider's rules where strictness is asked for or all it knows, and what is no schema by everybody."""
    wanted = ResponseFormat(type="schema", schema=schema, strict=strict)
    told = "\n".join(
        objections(attrs.evolve(EVERYTHING, response_format=wanted), attrs.evolve(ALL, schema_rules=rules))
    )

    assert says in told
    assert ("strict=False" in told) == (rules is OPENAI_STRICT and strict and schema is OPEN)


@pytest.mark.parametrize(("strict", "rules"), [(False, OPENAI_STRICT), (True, None)])
def test_schemas_that_are_let_through(strict: bool, rules: StrictRules | None) -> None:
    """Where nothing is known that a provider demands, or nothing strict is asked for, an open schema is sent."""
    wanted = ResponseFormat(type="schema", schema=OPEN, strict=strict)

    assert [] == list(
        objections(attrs.evolve(EVERYTHING, response_format=wanted), attrs.evolve(ALL, schema_rules=rules))
    )
