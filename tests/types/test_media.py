"""Media types and data: URLs: what bytes are, and what they are said to be."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.errors import ConfigError
from streamkit.types.media import from_base64, media_type_of, read_data_url, settled_media_type, type_by_name
from tests.strategies import PROPERTY

SIGNS = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff\xe0", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
    (b"RIFF\x00\x00\x00\x00WAVE", None),
    (b"BM\x00\x00", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\x00\x00\x00\x1cftypavif", "image/avif"),
    (b"\x00\x00\x00\x18ftypheic", "image/heic"),
    (b"\x00\x00\x00\x18ftypmif1", "image/heif"),
    (b"%PDF-1.7", "application/pdf"),
    (b"<svg/>", None),
    (b"", None),
]


@pytest.mark.parametrize(("data", "expected"), SIGNS, ids=[repr(data) for data, _ in SIGNS])
def test_what_bytes_are(data: bytes, expected: str | None) -> None:
    """The first bytes tell the kinds that are met."""
    assert expected == media_type_of(data)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.txt", "text/plain"),
        ("A.B.PDF", "application/pdf"),
        ("a.jpeg", "image/jpeg"),
        ("a.unknown", None),
        ("", None),
    ],
)
def test_what_a_name_tells(name: str, expected: str | None) -> None:
    """Its ending does, whatever its case."""
    assert expected == type_by_name(name)


@pytest.mark.parametrize(
    ("data", "said", "expected"),
    [
        (b"\x89PNG", "", "image/png"),
        (b"\x89PNG", "image/png", "image/png"),
        (b"\xff\xd8\xff", " Image/JPG ", "image/jpeg"),
        (b"\x00\x00\x00\x18ftypheic", "image/heif", "image/heif"),
        (b"?", "image/webp", "image/webp"),
        (b"?", "", ""),
    ],
)
def test_the_type_of_data(data: bytes, said: str, expected: str) -> None:
    """What is said counts, in its usual spelling; else what the bytes tell."""
    assert expected == settled_media_type(data, said)


@pytest.mark.parametrize(
    ("data", "said"), [(b"\x89PNG", "image/jpeg"), (b"%PDF-1.7", "text/plain"), (b"GIF89a", "application/pdf")]
)
def test_types_that_contradict_the_bytes(data: bytes, said: str) -> None:
    """A provider would refuse them, or misread them; the error names both."""
    with pytest.raises(ConfigError, match=f"these bytes are {media_type_of(data)}, not {said}: leave media_type out"):
        settled_media_type(data, said)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("data:image/png;base64,AQI=", (b"\x01\x02", "image/png")),
        ("data:image/png;charset=x;BASE64,AQI%3D", (b"\x01\x02", "image/png")),
        ("data:;base64,AQI=", (b"\x01\x02", "")),
        ("data:,a%20b", (b"a b", "")),
        ("data:image/svg+xml,<svg/>", (b"<svg/>", "image/svg+xml")),
    ],
)
def test_data_urls(url: str, expected: tuple[bytes, str]) -> None:
    """They hold base64 or escaped bytes, and may name their type."""
    assert expected == read_data_url(url)


@pytest.mark.parametrize(("url", "says"), [("data:image/png;base64", "comma"), ("data:;base64,%%%", "base64")])
def test_what_is_no_data_url(url: str, says: str) -> None:
    """It is refused with a word on what is wrong with it."""
    with pytest.raises(ConfigError, match=says):
        read_data_url(url)


@PROPERTY
@given(st.binary(max_size=100))
def test_base64_round_trips(data: bytes) -> None:
    """What was encoded is read again, also when it was broken into lines."""
    text = base64.b64encode(data).decode()

    assert data == from_base64(text) == from_base64("\n".join(text[i : i + 7] for i in range(0, len(text), 7)))


@pytest.mark.parametrize("text", ["a", "ab?=", "é", 5, None], ids=repr)
def test_what_is_no_base64(text: object) -> None:
    """It is refused by an error of ours."""
    with pytest.raises(ConfigError, match="not valid base64"):
        from_base64(text)  # type: ignore[arg-type]
