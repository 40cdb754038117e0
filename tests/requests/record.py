"""Records the requests that the official SDKs send for the calls that `test_requests.py` makes with streamkit.

Run it with the SDKs installed, which streamkit itself does not need:

    pip install openai anthropic google-genai
    python tests/requests/record.py

Each call goes to a server on this machine that writes down what came and refuses it, so that no SDK reads an answer.
What was recorded is in `API/CASE.json` beside this file: the SDK's version, method, path, query, the headers that tell
who asks for what, and the JSON body.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.metadata
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

KEY = "test-key"
HEADERS = ("anthropic-version", "authorization", "content-type", "x-api-key", "x-goog-api-key")
PNG, PDF = b"\x89PNG\r\n\x1a\n", b"%PDF-1.7"
PNG_TEXT, PDF_TEXT = base64.b64encode(PNG).decode(), base64.b64encode(PDF).decode()
IMAGE_URL, PDF_URL = "https://example.com/cat.png", "https://example.com/report.pdf"

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NOW: dict[str, Any] = {"type": "object", "properties": {}}
ANSWER = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "year": {"type": "integer"}},
    "required": ["name", "year"],
    "additionalProperties": False,
}


# -- chat completions

CHAT_TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": CITY}},
    {"type": "function", "function": {"name": "now", "parameters": NOW}},
]


def openai_chat(client: Any) -> dict[str, Callable[[], Any]]:
    """Give the calls of chat completions."""

    def call(**fields: Any) -> Callable[[], Any]:
        said = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
        return lambda: client.chat.completions.create(**{**said, **fields})

    def parsed() -> Any:
        from pydantic import BaseModel

        class answer(BaseModel):  # noqa: N801 - its name is sent
            name: str
            year: int

        messages = [{"role": "user", "content": "Hello"}]
        with client.chat.completions.stream(model="gpt-4o", messages=messages, response_format=answer):
            pass

    user = [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": IMAGE_URL}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG_TEXT}", "detail": "low"}},
        {"type": "file", "file": {"filename": "report.pdf", "file_data": f"data:application/pdf;base64,{PDF_TEXT}"}},
    ]
    call_of = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
    schema = {"name": "answer", "schema": ANSWER, "strict": True}
    return {
        "plain": call(),
        "system": call(
            messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
            stream_options={"include_usage": True},
        ),
        "settings": call(
            temperature=0.5,
            top_p=0.9,
            max_tokens=100,
            stop=["END", "\n\n"],
            seed=7,
            frequency_penalty=0.1,
            presence_penalty=-0.2,
            logprobs=True,
            top_logprobs=3,
        ),
        "reasoning": call(model="o4-mini", reasoning_effort="low", max_completion_tokens=100),
        "parts": call(messages=[{"role": "user", "content": user}]),
        "tools": call(tools=CHAT_TOOLS, tool_choice="required", parallel_tool_calls=False),
        "tool-by-name": call(tools=CHAT_TOOLS, tool_choice={"type": "function", "function": {"name": "weather"}}),
        "tool-result": call(
            messages=[
                {"role": "user", "content": "Is it warm in Paris?"},
                {"role": "assistant", "content": "I look.", "tool_calls": [call_of]},
                {"role": "tool", "tool_call_id": "c1", "content": "24 degrees"},
            ],
            tools=CHAT_TOOLS,
        ),
        "json": call(response_format={"type": "json_object"}),
        "schema": call(response_format={"type": "json_schema", "json_schema": schema}),
        "schema-of-a-model": parsed,
        "options": call(user="u1", metadata={"a": "b"}, service_tier="flex"),
    }


# -- responses


def openai_responses(client: Any) -> dict[str, Callable[[], Any]]:
    """Give the calls of the Responses API."""
    tools = [
        {"type": "function", "name": "weather", "description": "The weather.", "parameters": CITY, "strict": False},
        {"type": "function", "name": "now", "parameters": NOW, "strict": False},
    ]

    def call(**fields: Any) -> Callable[[], Any]:
        said = {"model": "gpt-4o", "input": [{"role": "user", "content": "Hello"}], "stream": True}
        return lambda: client.responses.create(**{**said, **fields})

    def parsed() -> Any:
        from pydantic import BaseModel

        class answer(BaseModel):  # noqa: N801 - its name is sent
            name: str
            year: int

        said = [{"role": "user", "content": "Hello"}]
        with client.responses.stream(model="gpt-4o", input=said, text_format=answer):
            pass

    user = [
        {"type": "input_text", "text": "Look:"},
        {"type": "input_image", "image_url": IMAGE_URL, "detail": "auto"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG_TEXT}", "detail": "low"},
        {"type": "input_file", "filename": "report.pdf", "file_data": f"data:application/pdf;base64,{PDF_TEXT}"},
        {"type": "input_file", "file_url": PDF_URL},
    ]
    called = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Paris"}'}
    shown = [
        {"type": "input_text", "text": "The map:"},
        {"type": "input_image", "image_url": IMAGE_URL, "detail": "auto"},
    ]
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "sig"}
    form = {"type": "json_schema", "name": "answer", "schema": ANSWER, "strict": True}
    return {
        "plain": call(),
        "system": call(instructions="Be brief.", store=False),
        "settings": call(
            temperature=0.5,
            top_p=0.9,
            max_output_tokens=100,
            top_logprobs=3,
            include=["message.output_text.logprobs"],
            store=False,
        ),
        "reasoning": call(
            model="gpt-5-mini",
            reasoning={"effort": "low", "summary": "auto"},
            include=["reasoning.encrypted_content"],
            store=False,
        ),
        "parts": call(input=[{"role": "user", "content": user}], store=False),
        "tools": call(tools=tools, tool_choice="required", parallel_tool_calls=False, store=False),
        "tool-by-name": call(tools=tools, tool_choice={"type": "function", "name": "weather"}, store=False),
        "tool-result": call(
            input=[
                {"role": "user", "content": "Is it warm in Paris?"},
                {"role": "assistant", "content": "I look."},
                called,
                {"type": "function_call_output", "call_id": "c1", "output": "24 degrees"},
            ],
            tools=tools,
            store=False,
        ),
        "tool-result-with-image": call(
            input=[
                {"role": "user", "content": "Where is Paris?"},
                called,
                {"type": "function_call_output", "call_id": "c1", "output": shown},
            ],
            tools=tools,
            store=False,
        ),
        "thinking-back": call(
            model="gpt-5-mini",
            input=[
                {"role": "user", "content": "Is it warm in Paris?"},
                thought,
                called,
                {"type": "function_call_output", "call_id": "c1", "output": "24 degrees"},
            ],
            tools=tools,
            include=["reasoning.encrypted_content"],
            store=False,
        ),
        "json": call(text={"format": {"type": "json_object"}}, store=False),
        "schema": call(text={"format": form}, store=False),
        "schema-of-a-model": parsed,
        "options": call(service_tier="flex", truncation="auto", store=True),
    }


# -- Anthropic's messages

MARK = {"type": "ephemeral"}


def anthropic(client: Any) -> dict[str, Callable[[], Any]]:
    """Give the calls of the Messages API."""
    tools = [
        {"name": "weather", "description": "The weather.", "input_schema": CITY},
        {"name": "now", "input_schema": NOW},
    ]

    def call(**fields: Any) -> Callable[[], Any]:
        said = {
            "model": "claude-haiku-4-5",
            "max_tokens": 1000,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
            "stream": True,
        }
        return lambda: client.messages.create(**{**said, **fields})

    def parsed() -> Any:
        from pydantic import BaseModel

        class answer(BaseModel):  # noqa: N801 - as elsewhere
            name: str
            year: int

        messages = [{"role": "user", "content": "Hello"}]
        with client.messages.stream(model="claude-haiku-4-5", max_tokens=1000, messages=messages, output_format=answer):
            pass

    def turns(*contents: Any) -> list[dict[str, Any]]:
        return [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]

    base64_image = {"type": "base64", "media_type": "image/png", "data": PNG_TEXT}
    user = [
        {"type": "text", "text": "Look:"},
        {"type": "image", "source": {"type": "url", "url": IMAGE_URL}},
        {"type": "image", "source": base64_image, "cache_control": MARK},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF_TEXT},
            "title": "report.pdf",
            "citations": {"enabled": True},
        },
        {"type": "document", "source": {"type": "url", "url": PDF_URL}, "title": "report.pdf"},
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "The notes."},
            "title": "notes.txt",
        },
    ]
    asked = [{"type": "text", "text": "Is it warm in Paris?"}]
    used = {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Paris"}}
    search = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "Paris"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}
    return {
        "plain": call(),
        "system": call(system=[{"type": "text", "text": "Be brief."}]),
        "settings": call(stop_sequences=["END", "\n\n#"], extra_body={"temperature": 0.5, "top_k": 40}),
        "thinking": call(thinking={"type": "enabled", "budget_tokens": 2000}, max_tokens=3000),
        "adaptive-thinking": call(
            model="claude-opus-4-8",
            thinking={"type": "adaptive", "display": "summarized"},
            output_config={"effort": "high"},
            max_tokens=3000,
        ),
        "parts": call(messages=turns(user)),
        "caching": call(system=[{"type": "text", "text": "Be brief.", "cache_control": MARK}], tools=tools),
        "caching-of-a-part": call(
            messages=turns(
                [{"type": "text", "text": "Long.", "cache_control": MARK}, {"type": "text", "text": "Short."}]
            )
        ),
        "tools": call(tools=tools, tool_choice={"type": "any", "disable_parallel_tool_use": True}),
        "tool-by-name": call(tools=tools, tool_choice={"type": "tool", "name": "weather"}),
        "tool-result": call(
            messages=turns(
                asked,
                [{"type": "text", "text": "I look."}, used],
                [{"type": "tool_result", "tool_use_id": "c1", "content": "24 degrees"}],
            ),
            tools=tools,
        ),
        "tool-result-with-image": call(
            messages=turns(
                asked,
                [used],
                [
                    {
                        "type": "tool_result",
                        "tool_use_id": "c1",
                        "content": [
                            {"type": "text", "text": "The map:"},
                            {"type": "image", "source": base64_image},
                        ],
                        "cache_control": MARK,
                    }
                ],
            ),
            tools=tools,
        ),
        "tool-failed": call(
            messages=turns(
                asked,
                [used],
                [{"type": "tool_result", "tool_use_id": "c1", "content": "no such city", "is_error": True}],
            ),
            tools=tools,
        ),
        "thinking-back": call(
            messages=turns(
                asked,
                [
                    {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
                    {"type": "redacted_thinking", "data": "xyz"},
                    used,
                ],
                [{"type": "tool_result", "tool_use_id": "c1", "content": "24 degrees"}],
            ),
            tools=tools,
            thinking={"type": "enabled", "budget_tokens": 2000},
            max_tokens=3000,
        ),
        "server-tools-back": call(
            messages=turns(
                asked, [search, found, {"type": "text", "text": "Yes."}], [{"type": "text", "text": "Thanks"}]
            ),
            tools=[{"type": "web_search_20250305", "name": "web_search"}],
        ),
        "schema": call(output_config={"format": {"type": "json_schema", "schema": ANSWER}}),
        "schema-of-a-model": parsed,
        "options": call(metadata={"user_id": "u1"}, service_tier="auto"),
    }


# -- Gemini


def gemini(client: Any) -> dict[str, Callable[[], Any]]:
    """Give the calls of the Gemini API."""
    from google.genai import types

    functions = types.Tool(
        function_declarations=[
            types.FunctionDeclaration(name="weather", description="The weather.", parameters_json_schema=CITY),
            types.FunctionDeclaration(name="now", parameters_json_schema=NOW),
        ]
    )

    def call(contents: Any = None, *, model: str = "gemini-2.5-flash", **config: Any) -> Callable[[], Any]:
        said = contents or [types.Content(role="user", parts=[types.Part(text="Hello")])]
        made = types.GenerateContentConfig(**config) if config else None
        return lambda: list(client.models.generate_content_stream(model=model, contents=said, config=made))

    def choice(mode: str, *names: str) -> Any:
        chosen = types.FunctionCallingConfig(mode=mode, allowed_function_names=list(names) or None)
        return types.ToolConfig(function_calling_config=chosen)

    def turns(*parts: list[Any]) -> list[Any]:
        return [types.Content(role=("user", "model")[i % 2], parts=part) for i, part in enumerate(parts)]

    no_loop = types.AutomaticFunctionCallingConfig(disable=True)
    asked = [types.Part(text="Is it warm in Paris?")]
    wish = types.FunctionCall(id="c1", name="weather", args={"city": "Paris"})
    result = types.FunctionResponse(id="c1", name="weather", response={"result": "24 degrees"})
    failure = types.FunctionResponse(id="c1", name="weather", response={"error": "no such city"})
    user = [
        types.Part(text="Look:"),
        types.Part.from_uri(file_uri=IMAGE_URL, mime_type="image/png"),
        types.Part.from_bytes(data=PNG, mime_type="image/png"),
        types.Part.from_bytes(data=PDF, mime_type="application/pdf"),
    ]
    tools = {"tools": [functions], "automatic_function_calling": no_loop}
    return {
        "plain": call(),
        "system": call(system_instruction=types.Content(parts=[types.Part(text="Be brief.")])),
        "settings": call(
            temperature=0.5,
            top_p=0.9,
            top_k=40,
            max_output_tokens=100,
            stop_sequences=["END", "\n\n"],
            seed=7,
            frequency_penalty=0.1,
            presence_penalty=-0.2,
            response_logprobs=True,
            logprobs=3,
        ),
        "thinking": call(thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=2000)),
        "reasoning": call(
            model="gemini-3-pro-preview",
            thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level="LOW"),
        ),
        "parts": call(turns(user)),
        "tools": call(tool_config=choice("ANY"), **tools),
        "tool-by-name": call(tool_config=choice("ANY", "weather"), **tools),
        "tool-result": call(
            turns(
                asked,
                [types.Part(text="I look."), types.Part(function_call=wish)],
                [types.Part(function_response=result)],
            ),
            **tools,
        ),
        "tool-failed": call(
            turns(asked, [types.Part(function_call=wish)], [types.Part(function_response=failure)]), **tools
        ),
        "thinking-back": call(
            turns(
                asked,
                [types.Part(function_call=wish, thought_signature=b"sig")],
                [types.Part(function_response=result)],
            ),
            model="gemini-3-pro-preview",
            **tools,
        ),
        "json": call(response_mime_type="application/json"),
        "schema": call(response_mime_type="application/json", response_json_schema=ANSWER),
        "options": call(safety_settings=[types.SafetySetting(category="HARM_CATEGORY_HARASSMENT", threshold="OFF")]),
    }


# -- recording


class _Recorder(BaseHTTPRequestHandler):
    """Writes down what came, and refuses it."""

    seen: dict[str, Any]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        url = urlsplit(self.path)
        _Recorder.seen = {
            "method": "POST",
            "path": url.path,
            "query": dict(parse_qsl(url.query)),
            "headers": {name: self.headers[name] for name in HEADERS if name in self.headers},
            "body": json.loads(body),
        }
        self.send_response(400)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def _recorder() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Recorder)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _clients(url: str) -> dict[str, tuple[str, dict[str, Callable[[], Any]]]]:
    """Give the package and the calls of each API."""
    import anthropic as anthropic_sdk
    import google.genai as google_sdk
    import openai as openai_sdk

    chat = openai_sdk.OpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0)
    messages = anthropic_sdk.Anthropic(api_key=KEY, base_url=url, max_retries=0)
    google = google_sdk.Client(api_key=KEY, http_options={"base_url": url})
    return {
        "openai_chat": ("openai", openai_chat(chat)),
        "openai_responses": ("openai", openai_responses(chat)),
        "anthropic": ("anthropic", anthropic(messages)),
        "gemini": ("google-genai", gemini(google)),
    }


def main() -> None:
    """Record every call anew."""
    with _recorder() as url:
        for api, (package, calls) in _clients(url).items():
            folder = Path(__file__).parent / api
            folder.mkdir(exist_ok=True)
            for name, call in calls.items():
                _Recorder.seen = {}
                with contextlib.suppress(
                    Exception
                ):  # the SDK's own error for the refusal; what was sent is what counts
                    call()
                if not _Recorder.seen:
                    call()  # nothing was sent: the SDK says why
                seen = {"sdk": f"{package} {importlib.metadata.version(package)}", **_Recorder.seen}
                (folder / f"{name}.json").write_text(json.dumps(seen, indent=2, ensure_ascii=False) + "\n", "utf-8")
                sys.stdout.write(f"{api}/{name}\n")


if __name__ == "__main__":
    main()
