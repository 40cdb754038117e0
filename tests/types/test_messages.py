"""Messages: what users may write for them, in our words or in those of the openai and anthropic packages."""

from __future__ import annotations

import base64
import pathlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.errors import ConfigError
from streamkit.types import (
    FilePart,
    ImagePart,
    Message,
    RawPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    assistant,
    system,
    tool_result,
    user,
)
from tests.strategies import PROPERTY

PNG = base64.b64encode(b"png").decode()
HI = TextPart(text="Hi")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, ()),
        ("Hi", (HI,)),
        (HI, (HI,)),
        (["Hi", HI], (HI, HI)),
        ((part for part in ["Hi"]), (HI,)),
        ([{"type": "text", "text": "Hi"}, ImagePart(url="u")], (HI, ImagePart(url="u"))),
    ],
)
def test_content(content: Any, expected: tuple[object, ...]) -> None:
    """Text, a part, or any number of texts, parts and dicts become a tuple of parts."""
    assert expected == Message(role="user", content=content).content


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "text", "text": "Hi"}, HI),
        ({"type": "image_url", "image_url": {"url": "https://u"}}, ImagePart(url="https://u")),
        ({"type": "image_url", "image_url": "https://u"}, ImagePart(url="https://u")),
        (
            {"type": "image_url", "image_url": {"url": f"data:image/gif;base64,{PNG}"}},
            ImagePart(data=b"png", media_type="image/gif"),
        ),
        ({"type": "image_url", "image_url": {"url": f"data:;base64,{PNG}"}}, ImagePart(data=b"png")),
        ({"type": "image", "source": {"type": "url", "url": "https://u"}}, ImagePart(url="https://u")),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": PNG}},
            ImagePart(data=b"png", media_type="image/gif"),
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PNG}"}},
            FilePart(data=b"png", name="a.pdf"),
        ),
        (
            {"type": "document", "title": "A", "source": {"type": "base64", "media_type": "text/plain", "data": PNG}},
            FilePart(data=b"png", media_type="text/plain", name="A"),
        ),
        (
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "é"},
                "citations": {"enabled": True},
                "cache_control": {"type": "ephemeral"},
            },
            FilePart(data="é".encode(), media_type="text/plain", name="file", citations=True, cache=True),
        ),
        (
            {"type": "document", "source": {"type": "url", "url": "https://u/a.pdf"}},
            FilePart(url="https://u/a.pdf", name="file"),
        ),
        ({"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}, TextPart(text="Hi", cache=True)),
        (
            {"type": "text", "text": "Hi", "citations": [{"type": "char_location"}]},
            TextPart(text="Hi", citations=({"type": "char_location"},)),
        ),
        (
            {
                "type": "image",
                "source": {"type": "url", "url": "https://u"},
                "cache_control": {"type": "ephemeral"},
            },
            ImagePart(url="https://u", cache=True),
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://u", "detail": "low"}},
            ImagePart(url="https://u", detail="low"),
        ),
        ({"type": "refusal", "refusal": "No."}, TextPart(text="No.")),
        ({"type": "input_text", "text": "Hi"}, HI),
        ({"type": "output_text", "text": "Hi", "annotations": []}, HI),
        (
            {"type": "input_image", "image_url": "https://u", "detail": "high"},
            ImagePart(url="https://u", detail="high"),
        ),
        ({"type": "input_file", "file_url": "https://u", "filename": "a.pdf"}, FilePart(url="https://u", name="a.pdf")),
        ({"type": "file", "file": {"file_data": PNG, "filename": "a.txt"}}, FilePart(data=b"png", name="a.txt")),
        (
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            RawPart(
                provider="anthropic", block={"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
            ),
        ),
        (
            {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
            ToolCallPart(id="c", name="f", input='{"a": 1}'),
        ),
        ({"type": "thinking", "thinking": "hm", "signature": "s"}, ThinkingPart(text="hm", signature="s")),
        ({"type": "redacted_thinking", "data": "d"}, ThinkingPart(redacted="d")),
        (
            {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "out"}], "is_error": True},
            ToolResultPart(tool_call_id="c", output="out", is_error=True),
        ),
        (
            {
                "type": "tool_result",
                "tool_use_id": "c",
                "content": [
                    {"type": "text", "text": "out"},
                    {"type": "image", "source": {"type": "url", "url": "https://u"}},
                ],
                "cache_control": {"type": "ephemeral"},
            },
            ToolResultPart(tool_call_id="c", output="out", images=(ImagePart(url="https://u"),), cache=True),
        ),
    ],
)
def test_dict_parts(part: dict[str, Any], expected: object) -> None:
    """Parts in the words of either package are read."""
    assert (expected,) == Message(role="user", content=[part]).content


@pytest.mark.parametrize(
    ("like", "expected"),
    [
        (user("Hi"), user("Hi")),
        ({"role": "user", "content": "Hi"}, user("Hi")),
        ({"role": "developer", "content": "Hi"}, system("Hi")),
        ({"role": "assistant", "content": None}, assistant(None)),
        (
            {
                "role": "assistant",
                "content": "Hi",
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{ }"}},
                    {"function": {"name": "g", "arguments": {"a": 1}}},
                    {"id": "e", "function": {"name": "h"}},
                ],
            },
            assistant(
                [
                    HI,
                    ToolCallPart(id="c", name="f", input="{ }"),
                    ToolCallPart(id="", name="g", input='{"a": 1}'),
                    ToolCallPart(id="e", name="h", input=""),
                ]
            ),
        ),
        ({"role": "tool", "tool_call_id": "c", "content": "out"}, tool_result("c", "out")),
        (
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "out"}]},
            tool_result("c", "out"),
        ),
    ],
)
def test_dict_messages(like: Any, expected: Message) -> None:
    """Messages in the words of either package are read; results of tools are a role of their own."""
    assert expected == Message.of(like)


@pytest.mark.parametrize(
    ("like", "says"),
    [
        (None, "Message or a dict"),
        ("Hi", "Message or a dict"),
        ({"content": "Hi"}, "unknown message role None"),
        ({"role": "robot", "content": "Hi"}, "unknown message role 'robot'"),
        ({"role": ["user"], "content": "Hi"}, "unknown message role"),
        ({"role": "user", "content": 5}, "text or a list of parts, not int"),
        ({"role": "user", "content": {"type": "text", "text": "x"}}, "list of parts, not dict"),
        ({"role": "user", "content": b"x"}, "not bytes"),
        ({"role": "user", "content": [5]}, "a content part must be"),
        (
            {"role": "user", "content": [{"type": "hologram"}]},
            "unknown content part type 'hologram': use one of document",
        ),
        ({"role": "user", "content": [{"type": ["text"]}]}, "unknown content part type"),
        ({"role": "user", "content": [{"type": "text"}]}, "not complete"),
        ({"role": "user", "content": [{"type": "text", "text": 5}]}, "text of a TextPart must be a str"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": 5}]}, "not complete"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png;base64,%"}]}, "base64"),
        ({"role": "user", "content": [{"type": "file", "file": {"file_data": 5}}]}, "not complete"),
        ({"role": "user", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {1}}]}, "not complete"),
        ({"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}, "sent with its bytes"),
        ({"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}, "not complete"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": ""}}]},
            "an image needs a url, or data",
        ),
        (
            {"role": "tool", "tool_call_id": "c", "content": [{"type": "input_file", "file_url": "u"}]},
            "text and images only",
        ),
        ({"role": "user", "contnt": "Hi"}, "a user message needs content: give text, or a list of parts"),
        ({"role": "system", "content": None}, "a system message needs content"),
        ({"role": "assistant", "tool_calls": [{"id": "c"}]}, "tool call .* not complete"),
        ({"role": "assistant", "tool_calls": 5}, "tool call .* not complete"),
        ({"role": "tool", "content": "out"}, "needs the tool_call_id"),
        ({"role": "tool", "tool_call_id": 5, "content": "out"}, "tool_call_id of a ToolResultPart must be a str"),
    ],
)
def test_what_is_no_message(like: Any, says: str) -> None:
    """It is refused with a word on what is wrong with it."""
    with pytest.raises(ConfigError, match=says):
        Message.of(like)


_NAMES = [
    "role", "content", "type", "text", "source", "file",
    "file_data", "image_url", "url", "data", "media_type", "id",
    "name", "input", "tool_calls", "function", "arguments", "tool_call_id",
    "tool_use_id",
]  # fmt: skip
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=3)
    | st.sampled_from(["user", "tool", "text", "image", "file", "tool_use"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(_NAMES),
            inner,
            max_size=5,
        )
    ),
    max_leaves=10,
)


@PROPERTY
@given(_VALUES)
def test_nothing_but_config_errors(like: Any) -> None:
    """Whatever is given for a message, it is one, or it is refused by an error of ours."""
    try:
        message = Message.of(like)
    except ConfigError:
        return
    assert isinstance(message.text, str)


def test_the_makers() -> None:
    """The functions make what their names say."""
    assert [("system", "a"), ("user", "b"), ("assistant", "c"), ("tool", "")] == [
        (m.role, m.text)
        for m in (system("a"), user("b"), assistant("c"), tool_result("i", "d", tool_name="f", is_error=True))
    ]
    assert (ToolResultPart(tool_call_id="i", tool_name="f", output="d", is_error=True),) == tool_result(
        "i", "d", tool_name="f", is_error=True
    ).content


def test_text() -> None:
    """The text of a message is that of its text parts."""
    assert "ab" == user(["a", ImagePart(url="u"), ThinkingPart(text="hm"), RawPart(provider="p", block={}), "b"]).text


def test_images_and_files() -> None:
    """Data is given in base64 or as a URL, and does not print."""
    image, file = ImagePart(data=b"png"), FilePart(data=b"pdf")

    assert ("cG5n", "data:image/png;base64,cG5n", "https://u") == (
        image.base64(),
        image.data_url(),
        ImagePart(url="https://u").data_url(),
    )
    assert ("cGRm", "") == (file.base64(), ImagePart(url="https://u").base64())
    assert ("data:application/pdf;base64,cGRm", "https://u") == (file.data_url(), FilePart(url="https://u").data_url())
    assert "png'" not in repr(image).replace("image/png", "")
    assert "pdf'" not in repr(file).replace("application/pdf", "").replace("file.pdf", "")


@pytest.mark.parametrize(
    ("image", "media_type"),
    [
        (ImagePart(data=b"\xff\xd8\xff"), "image/jpeg"),
        (ImagePart(data=b"\xff\xd8\xff", media_type="image/jpg"), "image/jpeg"),
        (ImagePart(data=b"?", media_type="image/x"), "image/x"),
        (ImagePart(data=b"?"), "image/png"),
        (ImagePart(url="data:image/gif;base64,R0lGODlh"), "image/gif"),
        (ImagePart(url="data:;base64,R0lGODlh"), "image/gif"),
        (ImagePart.of_bytes(b"?", "image/x"), "image/x"),
        (ImagePart.of_url("data:image/x,?"), "image/x"),
    ],
    ids=str,
)
def test_the_type_of_an_image(image: ImagePart, media_type: str) -> None:
    """It is the one said, else the one that the bytes tell."""
    assert (media_type, None) == (image.media_type, image.url)
    assert image.data


@pytest.mark.parametrize(
    ("file", "media_type"),
    [
        (FilePart(data=b"%PDF-1"), "application/pdf"),
        (FilePart(data=b"a,b", name="t.csv"), "text/csv"),
        (FilePart(data=b"a,b", name="t.csv", media_type="text/plain"), "text/plain"),
        (FilePart(data=b"%PDF-1", name="t.csv"), "application/pdf"),
        (FilePart(data=b"?", name="unknown"), "application/pdf"),
        (FilePart(url="https://u", name="t.txt"), "text/plain"),
    ],
    ids=str,
)
def test_the_type_of_a_file(file: FilePart, media_type: str) -> None:
    """It is the one said, else the one that the bytes or the name tell."""
    assert media_type == file.media_type


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ImagePart(), "needs a url, or data"),
        (lambda: ImagePart(data=b""), "needs a url, or data"),
        (lambda: ImagePart(url="https://u", data=b"?"), "not both"),
        (lambda: ImagePart(data="iVBORw=="), "the data of an image must be bytes, not str"),  # type: ignore[arg-type]
        (lambda: ImagePart(url=b"https://u"), "the url of an image must be a str"),  # type: ignore[arg-type]
        (lambda: FilePart(data="text"), "the data of a file must be bytes"),  # type: ignore[arg-type]
        (lambda: ImagePart(data=b"\x89PNG", media_type="image/jpeg"), "these bytes are image/png, not image/jpeg"),
        (lambda: ImagePart(url="data:image/jpeg;base64,iVBORw=="), "these bytes are image/png, not image/jpeg"),
        (lambda: ImagePart.of_bytes(b"%PDF-1.7"), "no image"),
        (lambda: ImagePart.of_url("photo.png"), "'photo.png' is no URL: for a file give a pathlib.Path"),
        (lambda: ImagePart.of_url("C:\\photo.png"), "is no URL"),
        (lambda: ImagePart.of_path("/nowhere/a.png"), "'/nowhere/a.png' cannot be read: No such file"),
        (lambda: FilePart(url="https://u", data=b"?"), "not both"),
        (lambda: FilePart(data=b"\x89PNG", media_type="application/pdf"), "these bytes are image/png"),
        (lambda: FilePart.of_path("/nowhere/a.pdf"), "'/nowhere/a.pdf' cannot be read: No such file"),
    ],
)
def test_what_is_no_image_and_no_file(make: Callable[[], object], says: str) -> None:
    """It is refused where it is made, with a word on what to do."""
    with pytest.raises(ConfigError, match=re.escape(says)):
        make()


def test_files_of_the_disk(tmp_path: pathlib.Path) -> None:
    """They are read when the part is made, by a path or its text, and known by their bytes or names."""
    image, text = tmp_path / "a.bin", tmp_path / "b.txt"
    image.write_bytes(b"\x89PNG")
    text.write_bytes(b"words")

    assert ImagePart(data=b"\x89PNG", media_type="image/png") == ImagePart.of_path(image)
    assert FilePart(data=b"words", media_type="text/plain", name="b.txt") == FilePart.of_path(str(text))
    assert FilePart(data=b"words", media_type="text/x", name="b.txt") == FilePart.of_path(text, "text/x")
