"""Messages: what is said to a model and what it said, as a role and parts.

Users may also write messages as dicts, in the shape of the openai or the anthropic package; `Message.of` reads both.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import attrs

from streamkit.errors import ConfigError

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


def _is_text(part: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str):
        raise ConfigError(f"{attribute.name} of a {type(part).__name__} must be a str, not {type(value).__name__}")


@attrs.frozen(kw_only=True)
class TextPart:
    """Plain text. `cache` has the provider cache the prompt up to the end of this part, where that has to be asked."""

    text: str = attrs.field(validator=_is_text)
    cache: bool = False


@attrs.frozen(kw_only=True)
class ImagePart:
    """An image: a `url` that the provider fetches, or `data` with its `media_type`."""

    url: str | None = None
    data: bytes | None = attrs.field(default=None, repr=False)
    media_type: str = "image/png"
    cache: bool = False

    @classmethod
    def of_bytes(cls, data: bytes, media_type: str | None = None) -> ImagePart:
        """Give the image that these bytes are; `ConfigError` where its type is neither said nor known by its look."""
        return cls(data=data, media_type=media_type or _image_type(data))

    @classmethod
    def of_url(cls, url: str) -> ImagePart:
        """Give the image that a URL names, or, for a `data:` URL, holds."""
        if not url.startswith("data:"):
            return cls(url=url)
        head, _, data = url[5:].partition(",")
        return cls(data=_decoded(data), media_type=head.partition(";")[0] or "image/png")

    def base64(self) -> str:
        """The data in base64."""
        return base64.b64encode(self.data or b"").decode("ascii")

    def data_url(self) -> str:
        """The image as a URL: its own, or a `data:` one."""
        return self.url if self.url is not None else f"data:{self.media_type};base64,{self.base64()}"


@attrs.frozen(kw_only=True)
class FilePart:
    """A document: a `url` that the provider fetches, or `data` with its `media_type`; and a `name`."""

    data: bytes = attrs.field(default=b"", repr=False)
    media_type: str = "application/pdf"
    name: str = "file.pdf"
    url: str | None = None
    cache: bool = False

    def base64(self) -> str:
        """The data in base64."""
        return base64.b64encode(self.data).decode("ascii")


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
    """A model's wish to call a tool; `input` is the exact JSON text, `signature` the proof of the thought behind it."""

    id: str = attrs.field(validator=_is_text)
    name: str = attrs.field(validator=_is_text)
    input: str = attrs.field(validator=_is_text)
    signature: str | None = None


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
        parts = list(_parts(like.get("content")))
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
    return Message(role="system", content=text)


def user(content: Any) -> Message:
    """Make a user message of text or parts."""
    return Message(role="user", content=content)


def assistant(content: Any) -> Message:
    """Make an assistant message of text or parts."""
    return Message(role="assistant", content=content)


def tool_result(tool_call_id: str, output: str, *, tool_name: str = "", is_error: bool = False) -> Message:
    """Make the message that answers a tool call."""
    part = ToolResultPart(tool_call_id=tool_call_id, tool_name=tool_name, output=output, is_error=is_error)
    return Message(role="tool", content=[part])


def _text_of(content: Any) -> str:
    """The text of a tool result, whose content may be text or text blocks."""
    return content if isinstance(content, str) else "".join(p.text for p in _parts(content) if isinstance(p, TextPart))


_IMAGE_SIGNS = ((b"\x89PNG", "image/png"), (b"\xff\xd8", "image/jpeg"), (b"GIF8", "image/gif"), (b"RIFF", "image/webp"))


def _image_type(data: bytes) -> str:
    for sign, media_type in _IMAGE_SIGNS:
        if data.startswith(sign):
            return media_type
    raise ConfigError("these bytes are no PNG, JPEG, GIF or WebP image: name the media_type if it is another kind")


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, TypeError) as e:
        raise ConfigError("the data of an image or file is not valid base64") from e


def _anthropic_source(item: Mapping[str, Any]) -> ImagePart:
    source = item["source"]
    if source["type"] == "url":
        return ImagePart(url=source["url"])
    return ImagePart(data=_decoded(source["data"]), media_type=source["media_type"])


def _openai_image(item: Mapping[str, Any]) -> ImagePart:
    image = item["image_url"]
    return ImagePart.of_url(image if isinstance(image, str) else image["url"])


def _openai_file(item: Mapping[str, Any]) -> FilePart:
    file = item["file"]
    media_type, _, data = file["file_data"].removeprefix("data:").partition(";base64,")
    return FilePart(data=_decoded(data), media_type=media_type, name=file.get("filename") or "file")


def _anthropic_document(item: Mapping[str, Any]) -> FilePart:
    source = item["source"]
    return FilePart(data=_decoded(source["data"]), media_type=source["media_type"], name=item.get("title") or "file")


def _openai_tool_call(call: Mapping[str, Any]) -> ToolCallPart:
    function = call["function"]
    arguments = function.get("arguments") or ""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCallPart(id=call.get("id") or "", name=function["name"], input=text)


def _openai_tool_result(message: Mapping[str, Any]) -> ToolResultPart:
    if "tool_call_id" not in message:
        raise ConfigError("a tool message needs the tool_call_id that it answers")
    return ToolResultPart(
        tool_call_id=message["tool_call_id"],
        tool_name=message.get("name") or "",
        output=_text_of(message.get("content") or ""),
    )


def _anthropic_tool_result(item: Mapping[str, Any]) -> ToolResultPart:
    return ToolResultPart(
        tool_call_id=item["tool_use_id"],
        output=_text_of(item.get("content") or ""),
        is_error=bool(item.get("is_error")),
    )


_READERS: dict[str, Callable[[Mapping[str, Any]], Part]] = {
    "text": lambda i: TextPart(text=i["text"]),
    "image_url": _openai_image,
    "image": _anthropic_source,
    "file": _openai_file,
    "document": _anthropic_document,
    "tool_use": lambda i: ToolCallPart(id=i["id"], name=i["name"], input=json.dumps(i.get("input") or {})),
    "tool_result": _anthropic_tool_result,
    "thinking": lambda i: ThinkingPart(text=i["thinking"], signature=i.get("signature")),
    "redacted_thinking": lambda i: ThinkingPart(redacted=i["data"]),
}
"""Dict parts by their `type`: openai's, then anthropic's."""
