"""Framing: the standard's letter for event streams, however the bytes are cut, and NDJSON."""

from __future__ import annotations

import itertools
import logging
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import framing
from streamkit.errors import ConfigError, ResponseTooLarge
from streamkit.framing import (
    Event,
    Framer,
    NDJSONFramer,
    SSEFramer,
    encode_comment,
    encode_sse,
    parse_ndjson,
    parse_sse,
)
from tests.corpus import SSECase, require_corpus, sse_cases, transcripts
from tests.strategies import PROPERTY, cuts, encodable_text, event_streams, event_texts, json_lines

PIECE = 1400
"""Bytes of a block, about what a packet holds."""


def standard(body: bytes) -> tuple[list[Event], str, int | None]:
    """Read an event stream as the standard says it, line by line: events, last event id, reconnection time.

    It takes nothing from `streamkit.framing` but the bound on a reconnection time.
    """
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    data, event, last_id, buffered_id, retry = "", "", "", "", None
    events = []
    for line in re.split("\r\n|\r|\n", text)[:-1]:
        field, _, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if line == "":
            last_id = buffered_id
            if data:
                events.append(Event(data[:-1], event or "message", last_id, retry))
            data, event = "", ""
        elif field == "data":
            data += value + "\n"
        elif field == "event":
            event = value
        elif field == "id" and "\0" not in value:
            buffered_id = value
        elif field == "retry" and re.fullmatch("0*[0-9]{1,18}", value):
            retry = int(value)
    return events, last_id, retry


def read(blocks: Iterable[bytes]) -> tuple[list[Event], str, int | None]:
    """Read an event stream with `parse_sse`: events, last event id, reconnection time."""
    reader = parse_sse(blocks)
    return list(reader), reader.last_event_id, reader.retry


def bytewise(body: bytes) -> list[bytes]:
    """Cut a body into single bytes."""
    return [body[i : i + 1] for i in range(len(body))]


def pieces(body: bytes, size: int = PIECE) -> list[bytes]:
    """Cut a body into blocks of `size` bytes."""
    return [body[i : i + size] for i in range(0, len(body), size)]


def random_cuts(body: bytes, seed: str) -> Iterator[list[bytes]]:
    """Cut a body at random places, the same ones at each run."""
    rng = random.Random(seed)
    for _ in range(20):
        ends = [0, *sorted(rng.randint(0, len(body)) for _ in range(rng.randint(1, 12))), len(body)]
        yield [body[a:b] for a, b in itertools.pairwise(ends)]


def until_too_large(framer: Framer, blocks: Iterable[bytes]) -> tuple[list[Event], bool]:
    """Feed blocks to a framer: the events it gives, and whether it ended in ResponseTooLarge."""
    events = []
    try:
        for block in blocks:
            events += framer.feed(block)
        events += framer.finish()
    except ResponseTooLarge:
        return events, True
    return events, False


# -- event streams: the corpus


def test_there_are_cases() -> None:
    """The corpus, where there is one, has cases and transcripts."""
    require_corpus()

    assert sse_cases()
    assert list(transcripts("openai-chat"))


@pytest.mark.parametrize("case", sse_cases(), ids=lambda case: case.name)
def test_case(case: SSECase) -> None:
    """A case of the corpus gives its events in its own blocks, whole, byte by byte, and cut at random."""
    for blocks in (case.blocks, [case.body], bytewise(case.body), *random_cuts(case.body, case.name)):
        events, last_event_id, retry = read(blocks)

        assert case.events == tuple((e.event, e.data, e.id) for e in events)
        assert case.last_event_id == last_event_id
        assert case.retry == retry


@pytest.mark.parametrize(
    "api", ["openai-chat", "openai-responses", "anthropic-messages", "gemini-generate-content", "cohere-v2-chat"]
)
def test_transcripts(api: str) -> None:
    """Recorded answers give the events of the standard, whole and in packets."""
    require_corpus()
    for path_id, _, body in transcripts(api):
        expected = standard(body)

        assert expected == read([body]), path_id
        assert expected == read(pieces(body)), path_id
        assert expected == read(pieces(body, 61)), path_id


# -- event streams: properties


@PROPERTY
@given(st.data())
def test_any_cut_gives_the_events_of_the_standard(data: st.DataObject) -> None:
    """Whatever the bytes and wherever they are cut, events, last event id and reconnection time are the standard's."""
    body = data.draw(event_streams())
    expected = standard(body)

    assert expected == read([body])
    assert expected == read(data.draw(cuts(body)))


@PROPERTY
@given(event_texts())
def test_all_readers_agree(text: str) -> None:
    """The recogniser, where it knows the form, the reader of many lines and sseclient-py read an event alike."""
    fields = framing._by_lines(text)

    assert fields == framing._by_sseclient(text)
    assert framing._recognise(text) in (None, fields)


@PROPERTY
@given(st.binary(max_size=60))
def test_decoding_by_regions_is_decoding_the_stream(body: bytes) -> None:
    """Bytes decoded piece by piece, cut behind any line feed, give the text of the whole: no character crosses one."""
    whole = body.decode("utf-8", "replace")

    assert whole == "".join(line.decode("utf-8", "replace") for line in re.findall(b"[^\n]*\n|[^\n]+", body))


@PROPERTY
@given(st.data(), st.integers(1, 30))
def test_no_cut_decides_what_is_too_large(data: st.DataObject, bound: int) -> None:
    """Under a bound any cut gives the same events, and then either all or none ResponseTooLarge."""
    body = data.draw(event_streams())
    expected = until_too_large(SSEFramer(bound), [body])

    assert expected == until_too_large(SSEFramer(bound), data.draw(cuts(body)))
    assert expected[0] == standard(body)[0][: len(expected[0])]


# -- event streams: one fact each


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("data: x", ("x", "message", None, None)),
        ("data:x", ("x", "message", None, None)),
        ("data:  x ", (" x ", "message", None, None)),
        ("data:", ("", "message", None, None)),
        ("event: delta\ndata: x", ("x", "delta", None, None)),
        ("event:delta\ndata:x", ("x", "delta", None, None)),
        ("event:\ndata: x", ("x", "message", None, None)),
        (": ping", (None, "message", None, None)),
        ("", (None, "message", None, None)),
    ],
)
def test_plain_forms(text: str, fields: tuple[str | None, str, str | None, int | None]) -> None:
    """The plain forms are recognised, so sseclient-py is not asked for them."""
    assert fields == framing._recognise(text)


@pytest.mark.parametrize(
    "text",
    [
        "data: x\ndata: y",
        "data",
        "event: a\nevent: b\ndata: x",
        "event: a\ndata: x\nid: 1",
        "id: 1\ndata: x",
        "event: a",
        "\ndata: x",
        ": a\n: b",
        "dataa: x",
        " data: x",
    ],
)
def test_other_forms(text: str) -> None:
    """What is not of a plain form is left to the other readers."""
    assert framing._recognise(text) is None


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (b"data: a\0b\n\n", "a\0b"),
        ("data: a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\n\n".encode(), "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"),
        (b"data: a\xffb\xc3\n\n", "a\ufffdb\ufffd"),
        (b"data: \xf0\x9f\x98\n\n", "\ufffd"),
        ("data: 世界😀\n\n".encode(), "世界😀"),
        (b"\xef\xbb\xbfdata: x\n\n", "x"),
        ("data: \ufeff\n\n".encode(), "\ufeff"),
        (b"data: x\r\r", "x"),
        (b"data: x\r\n\r\n", "x"),
        (b"data: x\n\r\n", "x"),
        (b"\n\n\ndata: x\n\n\n", "x"),
        (b"data: x\n \ndata: y\n\n", "x\ny"),
        (b"event: \ndata: x\n\n", "x"),
    ],
)
def test_data(body: bytes, data: str) -> None:
    """Only "\\n" and "\\r" end a line, bad UTF-8 becomes U+FFFD, one BOM and an empty type are dropped."""
    for blocks in ([body], bytewise(body)):
        assert [Event(data)] == list(parse_sse(blocks))


def test_two_byte_order_marks() -> None:
    """Only one byte order mark is dropped, and only at the very start of the stream."""
    bom = "\ufeff".encode()

    assert [] == list(parse_sse([bom + bom + b"data: x\n\n"]))
    for blocks in ([b"\n" + bom + b"data: x\n\n"], [b"\n", bom + b"data: x\n\n"], [b"\n\n", bom + b"data: x\n\n"]):
        assert [] == list(parse_sse(blocks))


@pytest.mark.parametrize(
    ("value", "retry"),
    [
        ("3000", 3000),
        ("0", 0),
        ("0" * 5000 + "7", 7),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, 1),
        ("9" * 100_000, 1),
        ("", 1),
        ("-5", 1),
        ("5 ", 1),
        ("1_0", 1),
        ("٣", 1),
        ("²", 1),
    ],
)
@pytest.mark.parametrize("lines", [0, 500_000], ids=["few lines", "many lines"])
def test_retry(value: str, retry: int, lines: int) -> None:
    """A reconnection time is ASCII digits of a sane number; anything else leaves the one before in force."""
    body = f"retry: 1\nretry: {value}\n{':' * lines}\ndata: x\n\n".encode()

    assert [Event("x", retry=retry)] == list(parse_sse([body]))


def test_id_and_retry_stay() -> None:
    """Id and reconnection time hold until set anew, from events without data too; an id with NUL changes nothing."""
    body = b"id: 1\n\nretry: 5\n\ndata: a\n\nid: 2\nid: x\0\ndata: b\n\ndata: c\nid\n\nretry: 6\ndata: d\n\n"

    assert [Event("a", id="1", retry=5), Event("b", id="2", retry=5), Event("c", retry=5), Event("d", retry=6)] == list(
        parse_sse([body])
    )


def test_an_unfinished_event_is_none() -> None:
    """An event that no blank line ended is not given; its whole lines' reconnection time counts, its id does not."""
    reader = parse_sse([b"data: a\n\nid: 1\nretry: 9\ndata: b\nretry: 10"])

    assert [Event("a")] == list(reader)
    assert ("", 9) == (reader.last_event_id, reader.retry)


def test_an_event_is_given_with_its_last_byte() -> None:
    """No event waits for a byte more than its own, be the line ends carriage returns."""
    for body in (b"data: x\n\n", b"data: x\r\n\r\n", b"data: x\r\r"):
        framer = SSEFramer()
        given_after = [i for i, byte in enumerate(bytewise(body), 1) if framer.feed(byte)]

        # The last "\r" is the end of the blank line; the "\n" that may follow it is not waited for.
        assert [len(body.removesuffix(b"\n") if b"\r" in body else body)] == given_after


def test_reader_passes_errors_on_in_their_place() -> None:
    """What came before an error of the blocks is given before it."""

    def blocks() -> Iterator[bytes]:
        yield b"data: a\n\ndata: b"
        raise OSError("reset")

    reader = parse_sse(blocks())

    assert Event("a") == next(reader)
    with pytest.raises(OSError, match="reset"):
        next(reader)


# -- event streams: bounds and cost


@pytest.mark.parametrize("cut", [pieces, bytewise, lambda body: [body]], ids=["packets", "bytes", "whole"])
def test_too_large_an_event(cut: Callable[[bytes], list[bytes]]) -> None:
    """An event of as many bytes as the bound passes; one more ends the stream, after the events before it."""
    fits = b"data: 23456\n\n"  # 12 bytes, and the blank line
    body = fits + fits + b"data: 234567\n\n" + fits

    assert ([Event("23456")] * 2, True) == until_too_large(SSEFramer(12), cut(body))
    assert 4 == len(SSEFramer(13).feed(body))


def test_too_large_an_event_and_nothing_before() -> None:
    """An event that is too large raises with its own block where the block brings none before it."""
    with pytest.raises(ResponseTooLarge):
        SSEFramer(12).feed(b"data: 234567\n\n")


def test_too_large_a_beginning_behind_an_event() -> None:
    """The events of a block whose rest is too large are given, and the next call raises, be it the last."""
    framer = SSEFramer(12)

    assert [Event("x")] == framer.feed(b"data: x\n\ndata: 2345678")
    with pytest.raises(ResponseTooLarge):
        framer.finish()


def test_an_endless_event() -> None:
    """An event without an end raises as soon as it passes the bound, and holds nothing any more."""
    framer = SSEFramer(100)
    framer.feed(b"data: x\n\n" + b"x" * 100)

    assert 100 == framer.pending
    with pytest.raises(ResponseTooLarge, match=r"larger than 100 bytes.*Limits\(event=...\)"):
        framer.feed(b"x")
    assert 0 == framer.pending
    with pytest.raises(ResponseTooLarge):
        framer.feed(b"\n\ndata: x\n\n")
    with pytest.raises(ResponseTooLarge):
        framer.finish()


@pytest.mark.parametrize("cut", [pieces, bytewise], ids=["packets", "bytes"])
def test_blank_lines_are_not_held(cut: Callable[[bytes], list[bytes]]) -> None:
    """Any number of blank lines is nothing: they neither fill memory nor count as an event's bytes."""
    framer = SSEFramer(12)
    body = b"\n" * 999 + b"\r\n" * 100 + b"data: 23456\n\n\n"
    events = [event for block in cut(body) for event in framer.feed(block)]

    assert [Event("23456")] == events
    assert 0 == framer.pending


class CountedBytes(bytearray):
    """A bytearray that counts the bytes which searches went through."""

    searched = 0

    def rfind(self, sub: bytes, start: int = 0) -> int:  # type: ignore[override]  # no more of it is used
        """Search, and count."""
        self.searched += len(self) - start
        return super().rfind(sub, start)


def test_a_large_event_is_searched_once() -> None:
    """8 MB in packets cost one look at each byte, so the time is linear."""
    body = b"data: " + b"x" * 2**23 + b"\n\n"
    framer = SSEFramer()
    framer._cutter._tail = tail = CountedBytes()
    events = [event for block in pieces(body) for event in framer.feed(block)]

    assert [2**23] == [len(event.data) for event in events]
    assert len(body) - PIECE <= tail.searched <= len(body) + len(pieces(body))


@pytest.mark.parametrize("line", ["data: x", "data", ": x", "foo: x", "foo", "id: 1", "retry: 1", "event: x", " "])
def test_a_flood_of_lines_in_one_event(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event of 100,000 lines is kept from sseclient-py, quadratic in lines, and read as the standard says."""
    monkeypatch.setattr(framing, "_by_sseclient", None)
    body = (f"{line}\n" * 100_000 + "data: end\n\n").encode()

    assert standard(body) == read([body])


def test_plain_streams_do_without_sseclient() -> None:
    """sseclient-py is imported when the first event comes that is of no plain form, not before."""
    code = """if True:
        import sys
        from streamkit.framing import SSEFramer
        framer = SSEFramer()
        for body in (b"data: x\\n\\n: ping\\n\\nevent: a\\ndata: x\\n\\n", b"id: 1\\ndata: x\\n\\n"):
            framer.feed(body)
            framer.finish()
            print("sseclient" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert "False\nTrue\n" == done.stdout


def test_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A provider's words reach no log: sseclient-py would log unknown names and event types as they came."""
    with caplog.at_level(logging.DEBUG):
        events = list(parse_sse([b"secret\nid: secret\nevent: secret\ndata: secret\n\n"]))

    assert [Event("secret", "secret", "secret")] == events
    assert [] == caplog.records


# -- newline-delimited JSON


def lines_of(body: bytes) -> list[Event]:
    """Read newline-delimited JSON from the whole of it."""
    lines = body.decode("utf-8", "replace").removeprefix("\ufeff").split("\n")
    return [Event(line.removesuffix("\r")) for line in lines if line.strip()]


@PROPERTY
@given(st.data())
def test_any_cut_gives_the_lines(data: st.DataObject) -> None:
    """Whatever the bytes and wherever they are cut, each line that is not blank is an event."""
    body = data.draw(json_lines())

    assert lines_of(body) == list(parse_ndjson([body])) == list(parse_ndjson(data.draw(cuts(body))))


@PROPERTY
@given(st.data(), st.integers(1, 12))
def test_no_cut_decides_which_line_is_too_large(data: st.DataObject, bound: int) -> None:
    """Under a bound any cut gives the same lines, and then either all or none ResponseTooLarge."""
    body = data.draw(json_lines())
    blocks = data.draw(cuts(body))

    assert until_too_large(NDJSONFramer(bound), [body]) == until_too_large(NDJSONFramer(bound), blocks)


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b'{"a": 1}\n{"b": 2}\n', ['{"a": 1}', '{"b": 2}']),
        (b'{"a": 1}\r\n\r\n{"b": 2}\r\n', ['{"a": 1}', '{"b": 2}']),
        (b'{"a": 1}\n{"b"', ['{"a": 1}', '{"b"']),
        (b"\n \n\t\r\n", []),
        (b"", []),
        ("\ufeff1\n\ufeff2\n".encode(), ["1", "\ufeff2"]),
        ('"a\u2028b\u0085c"\n'.encode(), ['"a\u2028b\u0085c"']),
        (b'"\xff\xe2\x82"\n', ['"\ufffd\ufffd"']),
    ],
)
def test_lines(body: bytes, lines: list[str]) -> None:
    """A line ends in a line feed, with or without a carriage return, or with the body; blank ones are skipped."""
    for blocks in ([body], bytewise(body)):
        assert [Event(line) for line in lines] == list(parse_ndjson(blocks))


def test_too_long_a_line() -> None:
    """A line of as many bytes as the bound passes; one more ends the stream, after the lines before it."""
    for blocks in ([b"12345\n123456\n1\n"], [b"12345\n", b"123456"], bytewise(b"12345\n123456\n")):
        assert ([Event("12345")], True) == until_too_large(NDJSONFramer(5), blocks)


def test_pending_bytes_of_a_line() -> None:
    """The bytes of an unfinished line are held until its end comes."""
    framer = NDJSONFramer()
    framer.feed(b"1\n234")

    assert 3 == framer.pending
    assert [Event("234")] == framer.finish()
    assert [] == framer.finish()


@pytest.mark.parametrize("api", ["ollama-chat", "ollama-generate"])
def test_ndjson_transcripts(api: str) -> None:
    """Recorded answers give their lines, whole and in packets."""
    require_corpus()
    for path_id, _, body in transcripts(api):
        assert lines_of(body) == list(parse_ndjson([body])), path_id
        assert lines_of(body) == list(parse_ndjson(pieces(body, 61))), path_id


# -- encoding


@PROPERTY
@given(encodable_text, encodable_text, encodable_text, st.integers(0, 10**18 - 1))
def test_what_is_encoded_can_be_read(data: str, event: str, id: str, retry: int) -> None:
    """An encoded event is read as it was, but for carriage returns, which arrive as line feeds."""
    event, id = (re.sub("[\r\n\0]", "", text) for text in (event, id))
    expected = Event(re.sub("\r\n|\r", "\n", data), event or "message", id, retry)

    assert [expected] == list(parse_sse([encode_sse(data, event=event, id=id, retry=retry)]))
    assert [Event(expected.data)] == list(parse_sse([encode_sse(data)]))


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (encode_sse("x"), b"data: x\n\n"),
        (encode_sse(""), b"data: \n\n"),
        (encode_sse("a\nb\r\nc\rd\n"), b"data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"),
        (encode_sse("x", event="e", id="", retry=0), b"id: \nevent: e\nretry: 0\ndata: x\n\n"),
        (encode_sse("\ud800"), b"data: ?\n\n"),
        (encode_comment(), b":\n\n"),
        (encode_comment("a\r\ndata: b"), b": a\n: data: b\n\n"),
    ],
)
def test_encoded_bytes(encoded: bytes, expected: bytes) -> None:
    """Each line of data or comment gets its own line, so none can become a field of another name."""
    assert expected == encoded


@pytest.mark.parametrize("broken", ["a\nb", "a\rb", "a\0b"])
def test_what_cannot_be_encoded(broken: str) -> None:
    """A line break or a NUL in a type or an id is refused, shown without control characters."""
    with pytest.raises(ConfigError, match=r"event=a\\.*b: .*take them out"):
        encode_sse("x", event=broken)
    with pytest.raises(ConfigError, match=r"id=a\\.*b: .*take them out"):
        encode_sse("x", id=broken)


def test_a_negative_retry() -> None:
    """A reconnection time below zero is refused."""
    with pytest.raises(ConfigError, match="retry=-1"):
        encode_sse("x", retry=-1)


def test_comments_are_no_events() -> None:
    """A comment between two events changes nothing."""
    body = [encode_sse("a"), encode_comment("ping"), encode_sse("b"), encode_comment()]

    assert [Event("a"), Event("b")] == list(parse_sse(body))


# -- errors outside of any field


STRAYS = [
    (
        b'data: x\n\nerror: {"code":500}\n\ndata: [DONE]\n\n',
        [("message", "x"), ("error", '{"code":500}'), ("message", "[DONE]")],
    ),
    (b'data: x\n\n{\n "error": {\n "code": 5 }\n}\n', [("message", "x"), ("error", '{\n "error": {\n "code": 5 }\n}')]),
    (b': ping\n\n[{\n "error": {}}]', [("error", '[{\n "error": {}}]')]),
    (b': ping\r\n{"error":{"m":1}}\r\n\r\n', [("error", '{"error":{"m":1}}')]),
    (b'{"error":"boom"}\n\ndata: x\n\n', [("error", '{"error":"boom"}'), ("message", "x")]),
    (b'{"error":null,"choices":[]}', []),
    (b'data: {"error": 1}\n\n', [("message", '{"error": 1}')]),
    (b"data: x\nerror: y\n\n", [("message", "x")]),
    (b': {"error": 1}\n\n', []),
    (b'the {"error": 1}\n\n', []),
]


@pytest.mark.parametrize(("body", "expected"), STRAYS)
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_errors_outside_of_any_field(body: bytes, expected: list[tuple[str, str]], size: int) -> None:
    """Where they are asked for, they are events in their place; where not, they are ignored as the standard says."""
    for strays in (True, False):
        framer = SSEFramer()
        framer.strays = strays
        events = [event for at in range(0, len(body), size) for event in framer.feed(body[at : at + size])]
        events += framer.finish()

        assert [one for one in expected if strays or one[0] != "error"] == [
            (event.event, event.data) for event in events
        ]


@pytest.mark.parametrize("piece", [b"\n ", b"[\n ", b"{\n ", b'{"error"', b": x\n"])
def test_looking_for_errors_is_linear(piece: bytes) -> None:
    """Whatever a body consists of, each part of it is looked at once: this would not end otherwise."""
    text = (piece * 50_000).decode()

    assert re.search(framing._STRAY, text) is None
