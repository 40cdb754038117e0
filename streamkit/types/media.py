"""What bytes are: the media types of images and documents, by their first bytes or their file's name; data: URLs.

Bytes in, words out; it knows no message and no provider. Which types an API takes, its `Capabilities` say.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

from streamkit.errors import ConfigError, printable

__all__ = ["from_base64", "media_type_of", "read_data_url", "settled_media_type", "type_by_name"]

_SIGNS = (
    (0, b"\x89PNG", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftyphei", "image/heic"),
    (4, b"ftyphev", "image/heic"),
    (4, b"ftypmif1", "image/heif"),
    (0, b"%PDF", "application/pdf"),
)
"""Where a sign stands, the sign, and what it is a sign of."""

_BY_ENDING = {
    "bmp": "image/bmp",
    "c": "text/plain",
    "css": "text/css",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "gif": "image/gif",
    "heic": "image/heic",
    "htm": "text/html",
    "html": "text/html",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "js": "text/javascript",
    "json": "application/json",
    "log": "text/plain",
    "md": "text/markdown",
    "pdf": "application/pdf",
    "png": "image/png",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "py": "text/x-python",
    "rtf": "application/rtf",
    "svg": "image/svg+xml",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "toml": "application/toml",
    "txt": "text/plain",
    "webp": "image/webp",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xml": "text/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
}
"""Our own table, as the `mimetypes` module reads files of the system, which differ."""

_SYNONYMS = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}


def media_type_of(data: bytes) -> str | None:
    """Give the media type that the first bytes tell, None where they tell none."""
    for at, sign, media_type in _SIGNS:
        if data.startswith(sign, at):
            return media_type
    return None


def type_by_name(name: str) -> str | None:
    """Give the media type that the ending of a file's name tells, None where it tells none."""
    return _BY_ENDING.get(name.rpartition(".")[2].lower())


def settled_media_type(data: bytes, said: str) -> str:
    """Give the media type of data: the one said, else the one its bytes tell, else "".

    Raises:
        ConfigError: the bytes are plainly of another type than the one said.
    """
    said = said.strip().lower()
    said = _SYNONYMS.get(said, said)
    told = media_type_of(data)
    if said and told and told != said and not {said, told} <= {"image/heic", "image/heif"}:
        raise ConfigError(f"these bytes are {told}, not {printable(said, 100)}: leave media_type out, or say that")
    return said or told or ""


def from_base64(text: str) -> bytes:
    """Give the bytes of a base64 text, which may be broken into lines; `ConfigError` for what is none."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, AttributeError, ValueError) as e:
        raise ConfigError("the data of an image or file is not valid base64") from e


def read_data_url(url: str) -> tuple[bytes, str]:
    """Give the bytes of a `data:` URL (RFC 2397) and the media type that it names, "" where it names none."""
    head, comma, data = url[len("data:") :].partition(",")
    if not comma:
        raise ConfigError("a data: URL needs a comma before its data, as in data:image/png;base64,iVBORw…")
    media_type, *parameters = head.split(";")
    if "base64" in (parameter.strip().lower() for parameter in parameters):
        return from_base64(unquote_to_bytes(data).decode("latin-1")), media_type
    return unquote_to_bytes(data), media_type
