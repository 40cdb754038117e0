"""Transport and Answer: one request, blocks of bytes, and a connection that is saved or closed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import responses

from streamkit import ConnectionLost, DecodeError, ResponseTooLarge, Secret, StreamIdle, StreamTruncated
from streamkit.codec import HttpRequest
from streamkit.testing import (
    Close,
    Drip,
    End,
    Gate,
    Pause,
    ProviderServer,
    Raw,
    Repeat,
    Reset,
    Send,
    Stall,
    Status,
    Step,
    Wait,
    error_answer,
)
from streamkit.transport import session as module
from streamkit.transport.session import Answer, Transport
from streamkit.transport.slot import SocketSlot
from tests.loopback import CERTS, KEY, took

FRAMINGS: list[Any] = ["chunked", "close", 5]


@pytest.fixture
def transport() -> Iterator[Transport]:
    """A transport with a session of its own."""
    transport = Transport()
    yield transport
    transport.close()


def request_to(server: ProviderServer) -> HttpRequest:
    """Give a request that carries a key."""
    return HttpRequest(
        url=f"{server.url}/v1?secret=1",
        body=b"question",
        headers={"X-Header": "value"},
        secrets={"X-Key": Secret(KEY)},
    )


def send(transport: Transport, server: ProviderServer, slot: SocketSlot | None = None, idle: float = 5) -> Answer:
    """Send it and give the answer."""
    return transport.open(request_to(server), slot or SocketSlot(), connect=5, idle=idle)


def whole(answer: Answer) -> bytes:
    """Give the body, and the connection back."""
    body = b"".join(answer.blocks())
    answer.close()
    return body


# ---------------------------------------------------------------- the request


def test_a_request_is_sent_as_it_is(transport: Transport, server: ProviderServer) -> None:
    """Method, address, headers, key and body; and no header that the libraries like to add but these."""
    server.reply(error_answer(200, b"hello"))
    answer = send(transport, server)
    request = server.requests[0]

    assert (200, b"hello") == (answer.status, whole(answer))
    assert ("POST", "/v1?secret=1", b"question") == (request.method, request.path, request.body)
    assert ("value", KEY) == (request.headers["x-header"], request.headers["x-key"])
    assert {"host", "accept-encoding", "user-agent", "content-length", "x-header", "x-key"} == set(request.headers)


@pytest.mark.parametrize("status", [200, 204, 301, 404, 500])
def test_any_status_is_an_answer(status: int, transport: Transport, server: ProviderServer) -> None:
    """Redirects, too: nobody follows them here."""
    server.reply(Status(status, {"location": server.url, "X-Header": "y"}, framing=0))
    answer = send(transport, server)
    answer.close()

    assert (status, "y") == (answer.status, answer.headers["x-header"])
    assert 1 == len(server.requests)


def test_an_echoed_key_is_redacted_in_the_headers(transport: Transport, server: ProviderServer) -> None:
    """Whoever shows them shows no key."""
    server.reply(Status(200, {"x-echo": f"you sent {KEY}!"}, framing=0))
    answer = send(transport, server)
    answer.close()

    assert "you sent [REDACTED]!" == answer.headers["x-echo"]


def test_a_failure_does_not_show_the_query(transport: Transport, server: ProviderServer) -> None:
    """It may carry a key."""
    server.reply(Reset())
    with pytest.raises(ConnectionLost) as caught:
        send(transport, server)

    assert f"{server.url}/v1 " in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_the_environment_says_is_read_for_each_request(
    transport: Transport, server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy set between two requests is used for the second."""
    server.reply(error_answer(200), times=2)
    with ProviderServer() as proxy:
        proxy.reply(error_answer(203))
        statuses = [send(transport, server), None]
        whole(statuses[0])  # type: ignore[arg-type]
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        second = send(transport, server)
        whole(second)

        assert 203 == second.status
        assert f"{server.url}/v1?secret=1" == proxy.requests[0].path


# ---------------------------------------------------------------- the body


@pytest.mark.parametrize("framing", FRAMINGS)
def test_each_piece_is_given_as_it_comes(framing: Any, transport: Transport, server: ProviderServer) -> None:
    """The server sends the second only once the first was read."""
    gate = Gate()
    server.reply(Status(framing=framing), Send(b"one"), Wait(gate), Send(b"23"), End(), Close())
    answer = send(transport, server)
    blocks = answer.blocks()
    first = next(blocks)
    gate.set()

    assert [b"one", b"23"] == [first, *blocks]
    answer.close()


def test_the_wait_for_the_first_piece_is_told(transport: Transport, server: ProviderServer) -> None:
    """Before a read that may take long, and once."""
    gate, told = Gate(), []
    server.reply(Status(), Wait(gate), Send(b"one"), Send(b"two"))
    answer = send(transport, server)

    def before_wait() -> None:
        told.append("waits")
        gate.set()  # without which nothing comes

    assert b"onetwo" == b"".join(answer.blocks(before_wait=before_wait))
    assert ["waits"] == told
    answer.close()


@pytest.mark.parametrize(("data", "at_hand"), [(b"data: one\n\n", True), (b"data: on", False)])
def test_an_event_at_hand_is_given_before_a_wait(
    data: bytes, at_hand: bool, transport: Transport, server: ProviderServer
) -> None:
    """One that came with the headers is read first; half of one could keep the reader waiting for the rest."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    told: list[str] = []
    server.reply(Raw(head + b"%x\r\n%s\r\n" % (len(data), data)), Raw(b"0\r\n\r\n"))
    answer = send(transport, server)
    blocks = answer.blocks(before_wait=lambda: told.append("waits"))

    assert data == next(blocks)
    assert at_hand == (not told)
    assert [] == list(blocks)
    assert ["waits"] == told
    answer.close()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_body_is_unpacked(encoding: Any, transport: Transport, server: ProviderServer) -> None:
    """Piece by piece, too."""
    gate = Gate()
    server.reply(Status(encoding=encoding), Send(b"one"), Wait(gate), Send(b"23"))
    answer = send(transport, server)
    blocks = answer.blocks()
    first = next(blocks)
    gate.set()

    assert (b"one", b"23") == (first, b"".join(blocks))
    answer.close()


@pytest.mark.parametrize(
    ("steps", "error_class"),
    [
        ([Status(), Send(b"one"), Close()], StreamTruncated),
        ([Status(framing=10), Send(b"one"), Close()], StreamTruncated),
        ([Status(), Send(b"one"), Raw(b"zzz\r\n"), Stall()], ConnectionLost),
        ([Status(), Send(b"one"), Stall()], StreamIdle),
        ([Status(headers={"content-encoding": "gzip"}), Send(b"one"), Stall()], DecodeError),
    ],
    ids=["chunked", "length", "framing", "silent", "gzip"],
)
def test_a_body_that_fails_is_an_error_of_ours(
    steps: list[Step], error_class: type, transport: Transport, server: ProviderServer
) -> None:
    """With the library's as its cause; the connection is closed."""
    server.reply(steps)
    answer = send(transport, server, idle=0.2)
    with pytest.raises(error_class) as caught:
        list(answer.blocks())
    answer.close()

    assert caught.value.__cause__ is not None
    assert server.requests[0].disconnected.wait(2)


@pytest.mark.parametrize(("limit", "fits"), [(9, False), (10, True), (None, True)])
def test_a_body_is_bounded(limit: int | None, fits: bool, transport: Transport, server: ProviderServer) -> None:
    """To the byte, after decompression."""
    server.reply(Status(encoding="gzip"), Send(b"0123456789"))
    answer = send(transport, server)
    if fits:
        assert b"0123456789" == b"".join(answer.blocks(limit))
    else:
        with pytest.raises(ResponseTooLarge):
            list(answer.blocks(limit))
    answer.close()


def test_a_block_is_bounded(transport: Transport, server: ProviderServer) -> None:
    """However fast the body comes."""
    server.reply(Status(framing=2_000_000), Send(b"x" * 2_000_000))
    answer = send(transport, server)
    sizes = [len(block) for block in answer.blocks()]
    answer.close()

    assert 2_000_000 == sum(sizes)
    assert max(sizes) <= module.BLOCK


# ---------------------------------------------------------------- excerpts


@pytest.mark.parametrize(
    ("steps", "limit", "text"),
    [
        ([Status(framing=5), Send(b"hello")], 100, b"hello"),
        ([Status(), Send(b"hello")], 3, b"hel"),
        ([Status(), Send(b"hello")], 0, b""),
        ([Status(), Send(b"hello")], None, b"hello"),
        ([Status(), Send(b"hel"), Send(b"lo"), Close()], 100, b"hello"),
        ([Status(headers={"content-encoding": "gzip"}), Send(b"hello")], 100, b""),
    ],
    ids=["whole", "bounded", "nothing", "unbounded", "cut", "corrupt"],
)
def test_an_excerpt_is_what_can_be_had(
    steps: list[Step], limit: int | None, text: bytes, transport: Transport, server: ProviderServer
) -> None:
    """Never an error: the status is one already."""
    server.reply(steps)
    answer = send(transport, server)

    assert text == answer.excerpt(limit)
    answer.close()


@pytest.mark.parametrize("rest", [Stall(), Drip(b" " * 1_000, interval=0.02)], ids=["stalls", "drips"])
@pytest.mark.parametrize("framing", ["chunked", "close", 5_000])
def test_an_excerpt_is_not_waited_for(
    rest: Step, framing: Any, transport: Transport, server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For `EXCERPT_WAIT` seconds at most."""
    monkeypatch.setattr(module, "EXCERPT_WAIT", 0.1)
    server.reply(Status(framing=framing), Send(b"hello"), rest)
    answer = send(transport, server)
    with took(1.0, least=0.1):
        text = answer.excerpt(1_000)
    answer.close()

    assert b"hello" == text.strip()


# ---------------------------------------------------------------- draining and closing


def first_block(answer: Answer) -> bytes:
    """Read as far as an answer's last event, as it were."""
    return next(answer.blocks())


@pytest.mark.parametrize(
    "steps",
    [
        [Status(), Send(b"hello"), End()],
        [Status(), Send(b"hello"), Send(b"more"), End()],
        [Status(framing=9), Send(b"hello"), Send(b"more")],
        [Status(encoding="gzip"), Send(b"hello"), End()],
        [Status(), Send(b"hello"), Pause(0.05), End()],
    ],
    ids=["ended", "more", "length", "gzip", "late"],
)
@pytest.mark.parametrize("own", [True, False], ids=["our session", "the user's session"])
def test_a_drained_connection_serves_again(own: bool, steps: list[Step], server: ProviderServer) -> None:
    """What is left of the answer is read, so that the next request goes out on the same connection."""
    server.reply(steps)
    server.reply(error_answer(200))
    with requests.Session() as session:
        transport = Transport(None if own else session)
        answer = send(transport, server)
        first_block(answer)

        assert answer.drain(2.0)
        answer.close()
        whole(send(transport, server))
        transport.close()
    assert 1 == server.connections


@pytest.mark.parametrize(
    "rest",
    [
        [Stall()],
        [Repeat(Send(b": ping\n\n"), Pause(0.002))],
        [Repeat(Send(b"x" * 10_000))],
        [Send(b"x" * 100_000), Stall()],
        [Raw(b"zzz\r\n"), Stall()],
    ],
    ids=["silent", "pinging", "flooding", "long", "bad framing"],
)
@pytest.mark.parametrize("how", [{}, {"framing": "close"}, {"framing": 10**6}, {"encoding": "gzip"}])
def test_a_connection_that_cannot_be_drained_is_closed(
    rest: list[Step], how: Any, transport: Transport, server: ProviderServer
) -> None:
    """Neither silence nor a drip nor a flood holds a finished answer for longer than it was given."""
    server.reply(Status(**how), Send(b"hello"), rest)
    answer = send(transport, server)
    first_block(answer)
    with took(1.0):
        assert not answer.drain(0.05)
        answer.close()

    assert server.requests[0].disconnected.wait(2)


def test_what_tls_has_read_ahead_is_drained(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record is decrypted whole, so that the socket has nothing more to tell."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTS / "ca.pem"))
    with ProviderServer(tls=CERTS / "localhost.pem") as server:
        server.reply(Status(framing=2 * module.BLOCK - 1), Send(b"x" * (2 * module.BLOCK - 1)))
        answer = send(transport, server)
        first_block(answer)

        assert answer.drain(0)
        answer.close()
        transport.close()


def test_a_drain_may_be_tried_again(transport: Transport, server: ProviderServer) -> None:
    """Shortly first, and more patiently once the user has his answer."""
    gate = Gate()
    server.reply(Status(), Send(b"hello"), Wait(gate), End())
    answer = send(transport, server)
    first_block(answer)
    tried = answer.drain(0.01)
    gate.set()

    assert (False, True) == (tried, answer.drain(2.0))
    answer.close()


def test_a_drained_answer_is_drained(transport: Transport, server: ProviderServer) -> None:
    """Nothing is read twice."""
    server.reply(error_answer(200, b"hello"))
    answer = send(transport, server)
    list(answer.blocks())

    assert answer.drain(0)
    answer.close()
    answer.close()


def test_a_connection_that_was_given_back_is_left_alone(transport: Transport, server: ProviderServer) -> None:
    """It may be another answer's by then, which has a time limit of its own."""
    server.reply(error_answer(200, b"hello"))
    answer = send(transport, server)
    sock = answer._connection_sock()
    blocks = answer.blocks()
    while not answer._raw.isclosed():
        next(blocks)  # as a decoder does that has seen the end of the answer, and asks for no more
    assert sock is not None
    before = sock.gettimeout()
    answer.drain(0.01)

    assert before == sock.gettimeout()
    answer.close()


def test_closing_never_fails(transport: Transport, server: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the library or the socket has to say then."""
    server.reply(error_answer(200, b"hello"))
    answer = send(transport, server)

    def fail() -> None:
        raise OSError("what?")

    with monkeypatch.context() as patch:
        patch.setattr(answer._response, "close", fail)
        answer.close()
    answer.close()


# ---------------------------------------------------------------- sessions


def test_a_session_of_the_users_is_used_as_it_is(server: ProviderServer) -> None:
    """Its headers and cookies are sent, nothing is mounted on it, and it is never closed."""
    server.reply(error_answer(200, b"hello"), times=3)
    with requests.Session() as session:
        session.headers["X-Session"] = "mine"
        session.cookies.set("a", "b")
        adapters = dict(session.adapters)
        transport = Transport(session)
        body = whole(send(transport, server))
        transport.close()
        whole(send(transport, server))
        session.headers["X-Session"] = "changed"
        whole(send(transport, server))

        assert adapters == session.adapters
    assert b"hello" == body
    assert ["mine", "mine", "changed"] == [request.headers["x-session"] for request in server.requests]
    assert "a=b" == server.requests[0].headers["cookie"]
    assert KEY == server.requests[0].headers["x-key"]
    assert 1 == server.connections


@pytest.mark.parametrize("framing", ["chunked", 10])
def test_an_answer_of_the_users_session_can_be_interrupted(framing: Any, server: ProviderServer) -> None:
    """Its connections report no socket, but the answer has one."""
    server.reply(Status(framing=framing), Send(b"hello"), Stall())
    slot = SocketSlot()
    with requests.Session() as session:
        answer = send(Transport(session), server, slot)
        blocks = answer.blocks()
        assert b"hello" == next(blocks)
        timer = threading.Timer(0.02, slot.interrupt)
        timer.start()
        with took(1.0), pytest.raises((ConnectionLost, StreamTruncated)):
            next(blocks)
        timer.join()
        answer.close()

    assert server.requests[0].disconnected.wait(2)


def test_a_socket_of_the_users_session_is_given_up_before_its_connection_is(server: ProviderServer) -> None:
    """An interrupt that comes once the body has ended must not hit the connection's next request."""
    gate = Gate()
    server.reply(error_answer(200, b"hello"))
    server.reply(Status(framing=5), Wait(gate), Send(b"world"))
    first, second = SocketSlot(), SocketSlot()
    with requests.Session() as session:
        transport = Transport(session)
        answer = send(transport, server, first)
        list(answer.blocks())
        other = send(transport, server, second)
        first.interrupt()
        gate.set()

        assert b"world" == whole(other)
        answer.close()
    assert 1 == server.connections


@responses.activate
def test_requests_can_be_mocked() -> None:
    """Under `responses` there is no socket, and all is as usual."""
    responses.post("https://provider.test/v1", body=b"hello", headers={"X-Mock": "1"})
    request = HttpRequest(url="https://provider.test/v1", body=b"", secrets={"X-Key": Secret(KEY)})
    transport = Transport()
    answer = transport.open(request, SocketSlot(), connect=1, idle=1)

    assert (200, "1", [b"hello"]) == (answer.status, answer.headers["x-mock"], list(answer.blocks()))
    assert answer.drain(0)
    assert KEY == responses.calls[0].request.headers["X-Key"]
    answer.close()
    transport.close()


@responses.activate
def test_a_mocked_refusal_has_its_text() -> None:
    """An excerpt needs no socket either."""
    responses.post("https://provider.test/v1", body=b"no", status=400)
    transport = Transport()
    answer = transport.open(HttpRequest(url="https://provider.test/v1", body=b""), SocketSlot(), connect=1, idle=1)

    assert b"no" == answer.excerpt(100)
    answer.close()
    transport.close()


def test_a_closed_transport_begins_anew(transport: Transport, server: ProviderServer) -> None:
    """Its idle connections are closed; a request afterwards makes another."""
    server.reply(error_answer(200), times=2)
    whole(send(transport, server))
    transport.close()
    server.wait_until(lambda: server.open_connections == 0)
    whole(send(transport, server))

    assert 2 == server.connections
    transport.close()
    transport.close()


def test_a_forked_child_has_a_session_of_its_own(
    transport: Transport, server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent's connections are not touched, though the lock had been copied while it was held."""
    server.reply(error_answer(200), times=3)
    whole(send(transport, server))
    parents = transport._session()
    with monkeypatch.context() as patch, transport._lock:
        patch.setattr(os, "getpid", lambda: -1)
        whole(send(transport, server))
        assert transport._session() is not parents
        transport.close()

    assert 2 == server.connections
    parents.close()
