"""Messages: what is said to a model and what it said, as a role and parts.

Users may also write messages as dicts, in the shape of the openai or the anthropic package; `Message.of` reads both.
Nothing here touches the world but `of_path`, which reads a file when it is called.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal

from streamkit import lazy_attrs as attrs
from streamkit.errors import ConfigError, printable
from streamkit.types.media import from_base64, media_type_of, read_data_url, settled_media_type, type_by_name

if TYPE_CHECKING:
    from os import PathLike

__all__ = [
    "FilePart",
    "ImagePart",
    "Message",
    "MessageLike",
    "Part",
    "RawPart",
    "TextPart",
    "ThinkingPart",
    "ToolCallPart",
    "ToolResultPart",
    "assistant",
    "system",
    "tool_result",
    "user",
]

Role = Literal["system", "user", "assistant", "tool"]


def _check_source(what: str, url: object, data: object) -> None:
    if not isinstance(url, (str, NoneType)):
        raise ConfigError(f"the url of {what} must be a str, not {type(url).__name__}")
    if not isinstance(data, (bytes, NoneType)):
        raise ConfigError(f"the data of {what} must be bytes, not {type(data).__name__}: decode base64, read a file")
    if data and url:
        raise ConfigError(f"{what} has a url or data, not both: leave one of them out")


def _is_text(part: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str):
        raise ConfigError(f"{attribute.name} of a {type(part).__name__} must be a str, not {type(value).__name__}")


@attrs.frozen(kw_only=True)
class TextPart:
    """Plain text. `cache` has the provider cache the prompt up to the end of this part, where that has to be asked.

    `citations` are what a provider said of where its text comes from, in its own words, for it alone to read again.
    """

    text: str = attrs.field(validator=_is_text)
    cache: bool = False
    citations: tuple[Mapping[str, Any], ...] = ()


@attrs.frozen(kw_only=True)
class ImagePart:
    """An image: a `url` that the provider fetches, or `data` with its `media_type`. A `data:` URL is read into `data`.

    The media type is that of the bytes where none is said, and image/png where they do not tell it. `detail` is how
    closely to look ("low", "high", "auto"), a hint for the APIs that know it.

    Raises:
        ConfigError: there is neither url nor data, or both; the bytes are plainly of another type than the one said.
    """

    url: str | None = None
    data: bytes | None = attrs.field(default=None, repr=False)
    media_type: str = ""
    cache: bool = False
    detail: str | None = None

    def __attrs_post_init__(self) -> None:
        url, data, media_type = self.url, self.data, self.media_type
        _check_source("an image", url, data)
        if not data and not url:
            raise ConfigError("an image needs a url, or data that is not empty")
        if url is not None and url.startswith("data:"):
            data, named = read_data_url(url)
            url, media_type = None, media_type or named
        if data is not None:
            media_type = settled_media_type(data, media_type)
        for name, value in (("url", url), ("data", data), ("media_type", media_type or "image/png")):
            object.__setattr__(self, name, value)  # as attrs advises for a frozen class that completes itself

    @classmethod
    def of_bytes(cls, data: bytes, media_type: str | None = None) -> ImagePart:
        """Give the image that these bytes are; `ConfigError` where its type is neither said nor known by its look."""
        if not media_type and not (media_type_of(data) or "").startswith("image/"):
            raise ConfigError("these bytes are no image that is known by its look: name its media_type")
        return cls(data=data, media_type=media_type or "")

    @classmethod
    def of_url(cls, url: str) -> ImagePart:
        """Give the image that a URL names, or, for a `data:` URL, holds; `ConfigError` for what is no URL."""
        if not _SCHEME.match(url):
            raise ConfigError(f"{printable(repr(url), 100)} is no URL: for a file give a pathlib.Path, or its bytes")
        return cls(url=url)

    @classmethod
    def of_path(cls, path: str | PathLike[str], media_type: str | None = None) -> ImagePart:
        """Read an image from a file, now; `ConfigError` where it cannot be read or its type is not known."""
        return cls.of_bytes(_read(Path(path)), media_type)

    def base64(self) -> str:
        """The data in base64."""
        return base64.b64encode(self.data or b"").decode("ascii")

    def data_url(self) -> str:
        """The image as a URL: its own, or a `data:` one."""
        return self.url if self.url is not None else f"data:{self.media_type};base64,{self.base64()}"


@attrs.frozen(kw_only=True)
class FilePart:
    """A document: a `url` that the provider fetches, or `data` with its `media_type`; and a `name`.

    The media type is that of the bytes where none is said, else the one that the name's ending tells, else
    application/pdf. With `citations` the answer is to cite it, where that has to be asked.

    Raises:
        ConfigError: the bytes are plainly of another type than the one said; there are data and a url.
    """

    data: bytes = attrs.field(default=b"", repr=False)
    media_type: str = ""
    name: str = "file.pdf"
    url: str | None = None
    cache: bool = False
    citations: bool = False

    def __attrs_post_init__(self) -> None:
        _check_source("a file", self.url, self.data)
        media_type = settled_media_type(self.data, self.media_type) or type_by_name(self.name) or "application/pdf"
        object.__setattr__(self, "media_type", media_type)

    @classmethod
    def of_path(cls, path: str | PathLike[str], media_type: str | None = None) -> FilePart:
        """Read a document from a file, now; `ConfigError` where it cannot be read."""
        path = Path(path)
        return cls(data=_read(path), media_type=media_type or "", name=path.name)

    def base64(self) -> str:
        """The data in base64."""
        return base64.b64encode(self.data).decode("ascii")

    def data_url(self) -> str:
        """The file as a URL: its own, or a `data:` one."""
        return self.url if self.url is not None else f"data:{self.media_type};base64,{self.base64()}"


@attrs.frozen(kw_only=True)
class ThinkingPart:
    """A model's thinking. `signature` proves it to the provider on the way back; `redacted` is thinking kept secret.

    Both mean something to the `provider` alone that gave them; "" stands for any.
    """

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    provider: str = attrs.field(default="", eq=False)


@attrs.frozen(kw_only=True)
class ToolCallPart:
    """A model's wish to call a tool; `input` is the exact JSON text, `signature` the proof of the thought behind it.

    The signature means something to the `provider` alone that gave it; "" stands for any.
    """

    id: str = attrs.field(validator=_is_text)
    name: str = attrs.field(validator=_is_text)
    input: str = attrs.field(validator=_is_text)
    signature: str | None = None
    provider: str = attrs.field(default="", eq=False)


@attrs.frozen(kw_only=True)
class ToolResultPart:
    """What a tool answered."""

    tool_call_id: str = attrs.field(validator=_is_text)
    tool_name: str = attrs.field(default="", validator=_is_text)
    output: str = attrs.field(default="", validator=_is_text)
    is_error: bool = False
    images: tuple[ImagePart, ...] = ()
    cache: bool = False


@attrs.frozen(kw_only=True)
class RawPart:
    """A block that only its provider understands (a server tool and its result), kept as it came for the next turn."""

    provider: str
    block: Mapping[str, Any]


Part = TextPart | ImagePart | FilePart | ThinkingPart | ToolCallPart | ToolResultPart | RawPart

_PARTS = (TextPart, ImagePart, FilePart, ThinkingPart, ToolCallPart, ToolResultPart, RawPart)


def _said(role: str, content: Any) -> Any:
    """What somebody says, who must say something: None is mostly a name that was misspelt."""
    if content is None:
        raise ConfigError(f"a {role} message needs content: give text, or a list of parts")
    return content


def _parts(content: Any) -> tuple[Part, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (TextPart(text=content),)
    if isinstance(content, _PARTS):
        return (content,)
    if isinstance(content, Iterable) and not isinstance(content, (bytes, Mapping)):
        return tuple(part for item in content for part in _part(item))
    raise ConfigError(f"message content must be text or a list of parts, not {type(content).__name__}")


def _part(item: Any) -> tuple[Part, ...]:
    if isinstance(item, str):
        return (TextPart(text=item),)
    if isinstance(item, _PARTS):
        return (item,)
    if isinstance(item, Mapping):
        kind = item.get("type")
        if isinstance(kind, str) and kind in _RAW_OF_ANTHROPIC:
            return (RawPart(provider="anthropic", block=item),)
        read = _READERS.get(kind) if isinstance(kind, str) else None
        if read is None:
            raise ConfigError(f"unknown content part type {kind!r}: use one of {', '.join(sorted(_READERS))}")
        try:
            return (read(item),)
        except (AttributeError, KeyError, TypeError, ValueError) as e:
            raise ConfigError(f"a content part of type {kind!r} is not complete: {e!r}") from e
    raise ConfigError(f"a content part must be text, a part or a dict, not {type(item).__name__}")


@attrs.frozen(kw_only=True)
class Message:
    """A role and its parts. `content` may be given as text or as a list of parts; it is kept as a tuple of parts."""

    role: Role = attrs.field()
    content: tuple[Part, ...] = attrs.field(converter=_parts)
    complete: bool = True
    """False for what a failed answer left, in a history that keeps such."""

    @role.validator
    def _known_role(self, _: object, role: object) -> None:
        if role not in ("system", "user", "assistant", "tool"):
            raise ConfigError(f"unknown message role {role!r}: use system, user, assistant or tool")

    @property
    def text(self) -> str:
        """All its text parts, joined."""
        return "".join(p.text for p in self.content if isinstance(p, TextPart))

    @classmethod
    def of(cls, like: MessageLike) -> Message:
        """Give a `Message` for itself or for a dict; `ConfigError` where it cannot be read."""
        if isinstance(like, Message):
            return like
        if not isinstance(like, Mapping):
            raise ConfigError(f"a message must be a Message or a dict, not {type(like).__name__}")
        role: Any = like.get("role")
        if role == "developer":
            role = "system"
        if role == "tool":
            return cls(role="tool", content=[_openai_tool_result(like)])
        content = like.get("content")
        parts = list(_parts(_said(role, content) if role in ("system", "user") else content))
        try:
            parts += [_openai_tool_call(call) for call in like.get("tool_calls") or ()]
        except (AttributeError, KeyError, TypeError) as e:
            raise ConfigError(f"a tool call in an assistant message is not complete: {e!r}") from e
        if role == "user" and parts and all(isinstance(p, ToolResultPart) for p in parts):
            role = "tool"
        return cls(role=role, content=parts)


MessageLike = Message | Mapping[str, Any]
"""A `Message`, or a dict as users of the openai and anthropic packages have them."""


def system(text: str) -> Message:
    """Make a system message."""
    return Message(role="system", content=_said("system", text))


def user(content: Any) -> Message:
    """Make a user message of text or parts."""
    return Message(role="user", content=_said("user", content))


def assistant(content: Any) -> Message:
    """Make an assistant message of text or parts."""
    return Message(role="assistant", content=content)


def tool_result(tool_call_id: str, output: str, *, tool_name: str = "", is_error: bool = False) -> Message:
    """Make the message that answers a tool call."""
    part = ToolResultPart(tool_call_id=tool_call_id, tool_name=tool_name, output=output, is_error=is_error)
    return Message(role="tool", content=[part])


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # two letters at least: C:\ is a drive, not a scheme


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise ConfigError(f"the file {str(path)!r} cannot be read: {e.strerror}") from e


# -- parts as dicts of the openai and anthropic packages


def _text_part(item: Mapping[str, Any]) -> TextPart:
    citations = tuple(item.get("citations") or ())
    return TextPart(text=item["text"], cache=_cached(item), citations=citations)


def _cached(item: Mapping[str, Any]) -> bool:
    return bool(item.get("cache_control"))


def _anthropic_image(item: Mapping[str, Any]) -> ImagePart:
    source, cache = item["source"], _cached(item)
    if source["type"] == "url":
        return ImagePart(url=source["url"], cache=cache)
    return ImagePart(data=from_base64(source["data"]), media_type=source["media_type"], cache=cache)


def _anthropic_document(item: Mapping[str, Any]) -> FilePart:
    source = item["source"]
    cited = bool((item.get("citations") or {}).get("enabled"))
    made = functools.partial(FilePart, name=item.get("title") or "file", cache=_cached(item), citations=cited)
    if source["type"] == "url":
        return made(url=source["url"], media_type="application/pdf")
    if source["type"] == "text":
        return made(data=source["data"].encode("utf-8"), media_type="text/plain")
    return made(data=from_base64(source["data"]), media_type=source["media_type"])


def _anthropic_tool_result(item: Mapping[str, Any]) -> ToolResultPart:
    output, images = _result_of(item.get("content") or "")
    return ToolResultPart(
        tool_call_id=item["tool_use_id"],
        output=output,
        images=images,
        is_error=bool(item.get("is_error")),
        cache=_cached(item),
    )


def _openai_image(item: Mapping[str, Any]) -> ImagePart:
    image = item["image_url"]
    url, detail = (image, item.get("detail")) if isinstance(image, str) else (image["url"], image.get("detail"))
    return ImagePart(url=url, detail=detail)


def _openai_file(item: Mapping[str, Any]) -> FilePart:
    file = item.get("file") or item  # the Responses API has its fields beside the type
    name = file.get("filename") or "file"
    if "file_url" in file:
        return FilePart(url=file["file_url"], name=name)
    if "file_data" not in file:
        raise ConfigError("a file is sent with its bytes, as file_data: one uploaded before (file_id) cannot be named")
    data = file["file_data"]
    if not data.startswith("data:"):
        return FilePart(data=from_base64(data), name=name)
    content, media_type = read_data_url(data)
    return FilePart(data=content, media_type=media_type, name=name)


def _openai_tool_call(call: Mapping[str, Any]) -> ToolCallPart:
    function = call["function"]
    arguments = function.get("arguments") or ""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCallPart(id=call.get("id") or "", name=function["name"], input=text)


def _openai_tool_result(message: Mapping[str, Any]) -> ToolResultPart:
    if "tool_call_id" not in message:
        raise ConfigError("a tool message needs the tool_call_id that it answers")
    output, images = _result_of(message.get("content") or "")
    return ToolResultPart(
        tool_call_id=message["tool_call_id"], tool_name=message.get("name") or "", output=output, images=images
    )


def _result_of(content: Any) -> tuple[str, tuple[ImagePart, ...]]:
    """The text and the images of a tool result, whose content may be text or parts."""
    parts = _parts(content)
    if not all(isinstance(part, (TextPart, ImagePart)) for part in parts):
        raise ConfigError("a tool's result can hold text and images only: send files in a user message")
    text = "".join(part.text for part in parts if isinstance(part, TextPart))
    return text, tuple(part for part in parts if isinstance(part, ImagePart))


_READERS: dict[str, Callable[[Mapping[str, Any]], Part]] = {
    "text": _text_part,
    "image_url": _openai_image,
    "file": _openai_file,
    "refusal": lambda i: TextPart(text=i["refusal"]),
    "input_text": _text_part,
    "output_text": lambda i: TextPart(text=i["text"]),
    "input_image": _openai_image,
    "input_file": _openai_file,
    "image": _anthropic_image,
    "document": _anthropic_document,
    "tool_use": lambda i: ToolCallPart(id=i["id"], name=i["name"], input=json.dumps(i.get("input") or {})),
    "tool_result": _anthropic_tool_result,
    "thinking": lambda i: ThinkingPart(text=i["thinking"], signature=i.get("signature")),
    "redacted_thinking": lambda i: ThinkingPart(redacted=i["data"]),
}
"""Dict parts by their `type`: those of chat completions, of the Responses API, and of Anthropic."""

_RAW_OF_ANTHROPIC = frozenset(
    {
        "bash_code_execution_tool_result",
        "code_execution_tool_result",
        "container_upload",
        "mcp_tool_result",
        "mcp_tool_use",
        "search_result",
        "server_tool_use",
        "text_editor_code_execution_tool_result",
        "tool_search_tool_result",
        "web_fetch_tool_result",
        "web_search_tool_result",
    }
)
"""Blocks that only Anthropic understands, by their `type`."""
