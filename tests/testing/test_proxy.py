"""The forwarding proxy, between requests and a scripted server."""

from __future__ import annotations

import os
import pathlib
import socket
import threading
from collections.abc import Iterator

import pytest
import requests

from streamkit.testing import Event, Gate, ProviderServer, ProxyServer, Reset, Send, Stall, Status, Wait, error_answer

CERTS = pathlib.Path(__file__).parent.parent / "certs"


@pytest.fixture
def proxy() -> Iterator[ProxyServer]:
    """A proxy of its own for each test."""
    with ProxyServer() as proxy:
        yield proxy


@pytest.fixture
def session(proxy: ProxyServer) -> Iterator[requests.Session]:
    """A client that goes through the proxy and trusts the test authority."""
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"http": proxy.url, "https": proxy.url}
        session.verify = str(CERTS / "ca.pem")
        yield session


def test_plain_requests_are_forwarded(proxy: ProxyServer, session: requests.Session) -> None:
    """The proxy is asked for the absolute URL; the server gets path, query, headers and body as without a proxy."""
    with ProviderServer() as server:
        server.reply(error_answer(200, b"ok"))
        body = session.post(f"{server.url}/v1/x?y=1", data=b"asked", headers={"x-a": "b"}, timeout=5).content
        request = server.requests[0]

    assert b"ok" == body
    assert ("/v1/x?y=1", b"asked", "b") == (request.path, request.body, request.headers["x-a"])
    assert [f"{server.url}/v1/x?y=1"] == [asked.path for asked in proxy.requests]


def test_a_connection_to_the_proxy_serves_several_requests(proxy: ProxyServer, session: requests.Session) -> None:
    """The client's connection is kept, also from one server to another."""
    with ProviderServer() as one, ProviderServer() as two:
        one.reply(error_answer(200, b"one"), times=None)
        two.reply(error_answer(200, b"two"), times=None)
        texts = [session.get(server.url, timeout=5).text for server in (one, two, one)]

    assert (["one", "two", "one"], 1) == (texts, proxy.connections)


def test_credentials_for_the_proxy_stay_there(proxy: ProxyServer, session: requests.Session) -> None:
    """The proxy sees Proxy-Authorization, the server does not."""
    session.proxies["http"] = proxy.url.replace("//", "//user:word@")
    with ProviderServer() as server:
        server.reply(error_answer(200))
        session.get(server.url, timeout=5)

        assert "proxy-authorization" not in server.requests[0].headers
    assert "Basic dXNlcjp3b3Jk" == proxy.requests[0].headers["proxy-authorization"]


def test_connect_opens_a_tunnel(proxy: ProxyServer, session: requests.Session) -> None:
    """TLS goes through to the server's own certificate; the proxy sees no request but CONNECT."""
    with ProviderServer(tls=CERTS / "localhost.pem") as server:
        server.reply(Status(200), Send(bytes(1_000_000)), times=2)
        sizes = [len(session.get(server.url, timeout=5).content) for _ in range(2)]

        assert ([1_000_000] * 2, 1) == (sizes, server.connections)
    assert [("CONNECT", f"127.0.0.1:{server.port}")] == [(asked.method, asked.path) for asked in proxy.requests]


def test_the_way_to_the_proxy_can_be_tls() -> None:
    """With a certificate the proxy itself is spoken to over TLS, and the server's TLS goes through that."""
    certificate, ca = CERTS / "localhost.pem", str(CERTS / "ca.pem")
    with ProxyServer(tls=certificate) as proxy, ProviderServer(tls=certificate) as server:
        server.reply(error_answer(200, b"ok"))
        answer = requests.get(server.url, proxies={"https": proxy.url}, verify=ca, timeout=5)

        assert ("ok", ["CONNECT"]) == (answer.text, [asked.method for asked in proxy.requests])


@pytest.mark.parametrize("tls", [None, CERTS / "localhost.pem"], ids=["plain", "tunnel"])
def test_pieces_are_passed_on_as_they_come(session: requests.Session, tls: pathlib.Path | None) -> None:
    """The first event can be read while the server holds the second back."""
    gate = Gate()
    with ProviderServer(tls=tls) as server:
        server.reply(Status(200), Event("one"), Wait(gate), Event("two"))
        with session.get(server.url, stream=True, timeout=5) as answer:
            pieces = answer.iter_content(None)
            assert b"data: one\n\n" == next(pieces)
            gate.set()

            assert [b"data: two\n\n"] == list(pieces)


@pytest.mark.parametrize("tls", [None, CERTS / "localhost.pem"], ids=["plain", "tunnel"])
def test_the_clients_leaving_reaches_the_server(session: requests.Session, tls: pathlib.Path | None) -> None:
    """When the client closes, the proxy closes to the server."""
    with ProviderServer(tls=tls) as server:
        server.reply(Status(200), Event("one"), Stall())
        session.get(server.url, stream=True, timeout=5).close()

        assert server.requests[0].disconnected.wait(5)


@pytest.mark.parametrize("tls", [None, CERTS / "localhost.pem"], ids=["plain", "tunnel"])
def test_the_servers_leaving_reaches_the_client(session: requests.Session, tls: pathlib.Path | None) -> None:
    """A server that resets in mid-body breaks the client's answer; what came before is passed on."""
    gate = Gate()
    with ProviderServer(tls=tls) as server:
        server.reply(Status(200), Event("one"), Wait(gate), Reset())
        with session.get(server.url, stream=True, timeout=5) as answer:
            pieces = answer.iter_content(None)
            assert b"data: one\n\n" == next(pieces)
            gate.set()
            with pytest.raises(requests.RequestException):
                next(pieces)


def test_a_server_that_cannot_be_reached_is_a_502(proxy: ProxyServer, session: requests.Session) -> None:
    """A refused connection is the proxy's answer, for a plain request and for CONNECT."""
    with ProviderServer() as server:
        pass  # its port is free now

    assert 502 == session.get(server.url, timeout=5).status_code
    with pytest.raises(requests.exceptions.ProxyError, match="502"):
        session.get(f"https://127.0.0.1:{server.port}", timeout=5)
    assert 2 == len(proxy.requests)


def test_nothing_is_left_of_an_open_tunnel() -> None:
    """No thread and no descriptor remains after the block, though both sides stayed."""
    descriptors, threads = len(os.listdir("/dev/fd")), threading.enumerate()
    with ProviderServer() as server:
        with ProxyServer() as proxy:
            client = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
            client.sendall(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % server.port)
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        client.close()

    assert (threads, descriptors) == (threading.enumerate(), len(os.listdir("/dev/fd")))
