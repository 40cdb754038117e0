"""The pool: connections that report their socket, and what a session takes from user and environment."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from typing import Any

import pytest
import requests
from urllib3 import HTTPSConnectionPool, PoolManager

from streamkit import Secret
from streamkit.testing import Close, Notify, ProviderServer, ProxyServer, Reset, error_answer
from streamkit.transport.pool import SecretHeaders, environment, new_session, settings_for
from streamkit.transport.slot import SocketSlot
from tests.loopback import CERTS


class Watched(SocketSlot):
    """A slot that tells what it was given to hold."""

    def __init__(self) -> None:
        super().__init__()
        self.peers: list[int] = []

    def hold(self, sock: socket.socket) -> None:
        """Note the port at the other end."""
        self.peers.append(sock.getpeername()[1])
        super().hold(sock)


def send(session: requests.Session, url: str, **how: Any) -> Watched:
    """Send a request on a slot of its own, read its answer, and give the slot."""
    slot = Watched()
    with slot.in_use(), contextlib.suppress(requests.ConnectionError):
        session.post(url, timeout=5, **how)
    slot.release()
    return slot


def test_a_connection_reports_its_socket_with_each_request(server: ProviderServer) -> None:
    """Also the second and third on it: they do not connect."""
    server.reply(error_answer(200), times=None)
    with new_session() as session:
        slots = [send(session, server.url) for _ in range(3)]

    assert [[server.port]] * 3 == [slot.peers for slot in slots]
    assert [True] * 3 == [slot.connected for slot in slots]
    assert 1 == server.connections


def test_a_slot_is_told_whether_its_connection_had_served_before(server: ProviderServer) -> None:
    """As long as nothing has come back on it: that is when its end may be no failure."""
    server.reply(Reset())
    server.reply(error_answer(200), times=2)
    server.reply(Reset())
    with new_session() as session:
        reused = [send(session, server.url).reused for _ in range(4)]

    assert [False, False, False, True] == reused


def test_a_connection_made_anew_is_no_reused_one(server: ProviderServer) -> None:
    """urllib3 keeps the object and connects it again where the server had closed it."""
    closed = threading.Event()
    server.reply(error_answer(200), Close(), Notify(closed))
    server.reply(Reset())
    with new_session() as session:
        send(session, server.url)
        assert closed.wait(5)
        second = send(session, server.url)

    assert ([server.port], False, 2) == (second.peers, second.reused, server.connections)


def test_connections_without_a_slot_work_too(server: ProviderServer) -> None:
    """A session may be used by others."""
    server.reply(error_answer(200), times=2)
    with new_session() as session:
        assert [200, 200] == [session.post(server.url, timeout=5).status_code for _ in range(2)]


def test_the_pool_of_the_last_request_is_given_again() -> None:
    """Only while it is asked for in the same way, and is open: a session that was closed may go on."""
    request = requests.Request("POST", "https://api.test/v1").prepare()
    with new_session() as session:
        adapter = session.get_adapter(request.url)

        def pool(verify: Any, **how: Any) -> HTTPSConnectionPool:
            return adapter.get_connection_with_tls_context(request, verify, **how)

        first = pool(True)

        assert pool(True) is first
        assert pool(True, proxies={}) is first
        assert pool(False) is not first
        assert pool(True, proxies={"https": "http://proxy.test"}) is not first
        assert pool(True) is first

        session.close()

        assert pool(True).pool is not None


def test_a_proxied_connection_reports_the_proxys_socket(
    server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For plain requests and for tunnels; of a tunnel, TLS inside does not change whose socket it is."""
    server.reply(error_answer(200))
    with ProxyServer() as proxy, ProviderServer(tls=CERTS / "localhost.pem") as secure, new_session() as session:
        secure.reply(error_answer(200))
        proxies = {"http": proxy.url, "https": proxy.url}
        plain = send(session, server.url, proxies=proxies)
        tunnel = send(session, secure.url, proxies=proxies, verify=str(CERTS / "ca.pem"))

        assert [[proxy.port], [proxy.port]] == [plain.peers, tunnel.peers]


def test_a_socks_proxy_keeps_its_own_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ours in their place the proxy would be passed by in silence."""
    own = {"https": HTTPSConnectionPool}

    class Manager(PoolManager):  # requests' own needs a package that is not ours
        def __init__(self, proxy: str, **settings: Any) -> None:
            super().__init__()
            self.pool_classes_by_scheme = own

    monkeypatch.setattr(requests.adapters, "SOCKSProxyManager", Manager)
    with new_session() as session:
        adapter = session.get_adapter("https://provider.test")
        socks = adapter.proxy_manager_for("socks5h://127.0.0.1:1080")  # type: ignore[attr-defined]
        http = adapter.proxy_manager_for("http://127.0.0.1:1080")  # type: ignore[attr-defined]

    assert own is socks.pool_classes_by_scheme
    assert {"http", "https"} == set(http.pool_classes_by_scheme)


def test_secret_headers_are_set_last() -> None:
    """They are the request's auth, so nothing else can be."""
    request = requests.Request("POST", "http://alice:opensesame@provider.test", headers={"X-Key": "old"})
    request.auth = SecretHeaders({"X-Key": Secret("new"), "Authorization": Secret("Bearer x")})
    prepared = requests.Session().prepare_request(request)

    assert ("new", "Bearer x") == (prepared.headers["X-Key"], prepared.headers["Authorization"])


def test_no_secret_is_an_auth_too() -> None:
    """A provider that needs no key gets no password out of the address or of netrc instead."""
    request = requests.Request("POST", "http://alice:opensesame@provider.test", auth=SecretHeaders({}))

    assert "Authorization" not in requests.Session().prepare_request(request).headers


@pytest.mark.parametrize(
    ("variables", "own", "verify"),
    [
        ({}, True, True),
        ({"SSL_CERT_FILE": "s"}, True, "s"),
        ({"SSL_CERT_FILE": "s"}, False, True),
        ({"SSL_CERT_FILE": "s", "CURL_CA_BUNDLE": "c"}, True, "c"),
        ({"SSL_CERT_FILE": "s", "CURL_CA_BUNDLE": "c", "REQUESTS_CA_BUNDLE": "r"}, True, "r"),
        ({"SSL_CERT_FILE": ""}, True, True),
    ],
)
def test_the_ca_bundle_is_the_environments(
    variables: dict[str, str], own: bool, verify: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of requests' own variables, then OpenSSL's; a session of the user's is asked by requests' rules."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with new_session() as session:
        assert verify == settings_for(session, "https://provider.test", own=own)["verify"]


@pytest.mark.parametrize("verify", [False, "bundle.pem"])
def test_a_session_of_the_users_says_whom_to_trust(verify: object) -> None:
    """Its `verify`, `cert` and `proxies` are taken as they are."""
    with requests.Session() as session:
        session.verify, session.cert, session.proxies = verify, "client.pem", {"https": "http://proxy.test"}  # type: ignore[assignment]
        settings = settings_for(session, "https://provider.test", own=False)

    assert (verify, "client.pem", "http://proxy.test") == (
        settings["verify"],
        settings["cert"],
        settings["proxies"]["https"],
    )


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE"])
def test_a_change_of_the_environment_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was prepared for the last request may not do for the next."""
    before = environment()
    monkeypatch.setenv(name, "x")

    assert before != environment()


@pytest.mark.parametrize(("size", "pieces"), [(0, 1), (2, 1), (32_768, 1), (32_769, 2)])
def test_a_request_goes_out_in_one_piece(
    size: int, pieces: int, server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Head and body together, which wakes the server once; what is large goes out after the head, without a copy."""
    sent: list[bytes] = []

    def send_on(self: http.client.HTTPConnection, data: bytes) -> None:
        sent.append(data)
        original(self, data)

    original = http.client.HTTPConnection.send
    monkeypatch.setattr(http.client.HTTPConnection, "send", send_on)
    server.reply(error_answer(200), times=2)
    with new_session() as session:
        for _ in range(2):  # the second on the same connection
            send(session, server.url, data=b"x" * size)

    assert pieces * 2 == len(sent)
    assert [b"x" * size] * 2 == [b"".join(sent[at : at + pieces]).partition(b"\r\n\r\n")[2] for at in (0, pieces)]
    assert [b"x" * size] * 2 == [request.body for request in server.requests]
