"""Connecting: what goes wrong before a request is sent, and what users configure for it."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Iterator

import pytest

from streamkit import Client, ConfigError, ConnectFailed, ConnectionLost, ConnectTimeout, Timeouts, TLSFailed
from streamkit.providers import OpenAI
from streamkit.testing import Close, Pause, ProviderServer, ProxyServer, Raw, Reset, Stall, chat_answer, error_answer
from tests.loopback import AT_ONCE, CA_VARIABLES, CERTS, KEY, ONCE, ask, client_of, deaf_port, failure, took


def client_at(base_url: str, **settings: object) -> Client:
    """Give a client of an address, which tries three times without waiting."""
    return Client(OpenAI(KEY, base_url=base_url), **{"retry_policy": AT_ONCE, **settings})  # type: ignore[arg-type]


# ---------------------------------------------------------------- no connection


def test_a_refused_connection_is_tried_again_and_then_reported() -> None:
    """Nobody listens: `ConnectFailed` after 1 + max_retries attempts, naming address and reason."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with client_at(f"http://127.0.0.1:{port}/v1") as client:
        error = failure(ask(client).get_stream)

    assert (ConnectFailed, 3) == (type(error), error.attempts)
    assert f"127.0.0.1:{port}" in str(error)
    assert "refused" in str(error)


@pytest.mark.parametrize(
    "reason",
    [
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        OSError(errno.ENETUNREACH, "Network is unreachable"),
        OSError(errno.EMFILE, "Too many open files"),
    ],
    ids=["unresolvable", "unreachable", "out of descriptors"],
)
def test_a_connection_that_cannot_be_made_is_a_connect_failure(
    reason: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the system says, it is `ConnectFailed` with the system's words, and the original is the cause."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise reason

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with client_at("http://provider.test/v1") as client:
        error = failure(ask(client).get_stream)

    assert (ConnectFailed, 3) == (type(error), error.attempts)
    assert reason.strerror in str(error)
    assert error.__cause__ is not None


@pytest.mark.slow
def test_each_attempt_to_connect_is_bounded() -> None:
    """A server that does not even accept: `ConnectTimeout`, a TimeoutError, after `connect` seconds an attempt."""
    with deaf_port() as port, client_at(f"http://127.0.0.1:{port}/v1", timeouts=Timeouts(connect=0.1)) as client:
        with took(1.0, least=0.3):
            error = failure(ask(client).get_stream)

    assert isinstance(error, ConnectTimeout)
    assert isinstance(error, TimeoutError)
    assert 3 == error.attempts
    assert "0.1 s" in str(error)


def test_a_silent_handshake_counts_as_connecting() -> None:
    """A TLS server that never speaks is a `ConnectTimeout`, not a silent answer: no request was sent."""
    with ProviderServer(tls=CERTS / "localhost.pem") as server:
        server.greet(Stall())
        with client_of(server, timeouts=Timeouts(connect=0.1)) as client, took(1.0):
            error = failure(ask(client).get_stream)

        assert isinstance(error, ConnectTimeout)
        assert "0.1 s" in str(error)


@pytest.mark.parametrize("breaks_off", [Close(), Reset()], ids=["closed", "reset"])
def test_a_handshake_that_breaks_off_is_tried_again(breaks_off: Close | Reset, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that ends before its TLS stands is a connection failure like any other, so it is retried."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTS / "ca.pem"))
    with ProviderServer(tls=CERTS / "localhost.pem") as server:
        server.greet(Pause(0.02), breaks_off)  # at once, it could hit a socket that ssl does not hold yet, and forgets
        server.reply(chat_answer("Hello"))
        with client_of(server, retry_policy=AT_ONCE) as client:
            response = ask(client).get_response()

        assert ("Hello", 2) == (response.text, server.connections)


# ---------------------------------------------------------------- certificates


@pytest.mark.parametrize(
    ("certificate", "ca", "why"),
    [
        ("localhost", None, "unable to get local issuer"),
        ("self-signed", None, "self-signed"),
        ("expired", "ca.pem", "expired"),
        ("wrong-host", "ca.pem", "IP address mismatch"),
    ],
)
def test_a_bad_certificate_is_refused(
    certificate: str, ca: str | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is `TLSFailed`, which says that it is the certificate; no request is sent, and nothing is tried again."""
    if ca is not None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTS / ca))
    with ProviderServer(tls=CERTS / f"{certificate}.pem") as server:
        with client_of(server, retry_policy=AT_ONCE) as client:
            error = failure(ask(client).get_stream)

        assert (TLSFailed, False, 1) == (type(error), error.retryable, error.attempts)
        assert "certificate" in str(error)
        assert why.lower() in str(error).lower()
        assert ([], 1) == (server.requests, server.connections)


@pytest.mark.parametrize("variable", CA_VARIABLES)
def test_a_ca_bundle_of_the_environment_is_trusted(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable in which users name a CA bundle is honoured."""
    monkeypatch.setenv(variable, str(CERTS / "ca.pem"))
    with ProviderServer(tls=CERTS / "localhost.pem") as server:
        server.reply(chat_answer("Hello"))
        with client_of(server) as client:
            response = ask(client).get_response()

    assert "Hello" == response.text


def test_a_ca_bundle_that_is_not_there_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong path is named, and nothing is tried again."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/bundle.pem")
    with ProviderServer(tls=CERTS / "localhost.pem") as server, client_of(server, retry_policy=AT_ONCE) as client:
        error = failure(ask(client).get_stream)

    assert (ConfigError, 1) == (type(error), error.attempts)
    assert "/nowhere/bundle.pem" in str(error)


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    "base_url", ["ftp://provider.test/v1", "file:///etc/passwd", "provider.test/v1", "//provider.test", "", "http://"]
)
def test_an_address_that_is_none_is_refused_early(base_url: str) -> None:
    """Only http and https with a host will do; it is told when the provider is made."""
    with pytest.raises(ConfigError, match="base_url"):
        OpenAI(KEY, base_url=base_url)


@pytest.mark.parametrize("slashes", ["", "/", "//"])
def test_a_trailing_slash_is_harmless(slashes: str, server: ProviderServer) -> None:
    """The path is the same with and without."""
    server.reply(chat_answer("Hello"))
    with client_at(server.base_url + slashes) as client:
        ask(client).get_response()

    assert "/v1/chat/completions" == server.requests[0].path


def test_user_info_does_not_replace_the_key(server: ProviderServer, caplog: pytest.LogCaptureFixture) -> None:
    """Name and password in the address are left out, with a warning that does not show them."""
    server.reply(chat_answer("Hello"))
    with caplog.at_level(logging.DEBUG):
        with client_at(server.base_url.replace("//", "//alice:opensesame@")) as client:
            ask(client).get_response()

    assert f"Bearer {KEY}" == server.requests[0].headers["authorization"]
    assert "user name" in caplog.text
    assert "opensesame" not in caplog.text


# ---------------------------------------------------------------- proxies


@pytest.fixture
def proxy() -> Iterator[ProxyServer]:
    """A proxy of its own for each test."""
    with ProxyServer() as proxy:
        yield proxy


def test_a_proxy_of_the_environment_is_used(
    server: ProviderServer, proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY is asked for the whole address, and the key goes with it."""
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    server.reply(chat_answer("Hello"), times=2)
    with client_of(server) as client:
        texts = [ask(client).get_response().text for _ in range(2)]

    assert ["Hello", "Hello"] == texts
    assert [f"{server.base_url}/chat/completions"] * 2 == [request.path for request in proxy.requests]
    assert f"Bearer {KEY}" == server.requests[0].headers["authorization"]


def test_https_goes_through_a_tunnel(proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY is asked for a tunnel; what goes through it, the key included, the proxy does not see."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTS / "ca.pem"))
    with ProviderServer(tls=CERTS / "localhost.pem") as server:
        server.reply(chat_answer("Hello"))
        with client_of(server) as client:
            response = ask(client).get_response()

        assert "Hello" == response.text
        assert [("CONNECT", f"127.0.0.1:{server.port}")] == [(r.method, r.path) for r in proxy.requests]
        assert "authorization" not in proxy.requests[0].headers


def test_no_proxy_is_honoured(server: ProviderServer, proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host of NO_PROXY is asked directly."""
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.reply(chat_answer("Hello"))
    with client_of(server) as client:
        ask(client).get_response()

    assert [] == proxy.requests


@pytest.mark.parametrize(
    ("script", "error_class", "said"),
    [
        (error_answer(407, "who are you?"), ConnectFailed, "407"),
        (error_answer(502, "cannot reach it"), ConnectFailed, "502"),
        (Reset(), ConnectionLost, "reset"),
        (Raw(b"what?\r\n\r\n"), ConnectionLost, "what?"),
        (Stall(), ConnectTimeout, "0.1 s"),
    ],
    ids=["407", "502", "reset", "no HTTP", "silent"],
)
def test_a_proxy_that_refuses_a_tunnel_is_a_connection_error(
    script: object, error_class: type[Exception], said: str, server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the proxy does instead of opening a tunnel is told as such."""
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    server.reply(script)  # type: ignore[arg-type]
    with client_at("https://provider.test/v1", retry_policy=ONCE, timeouts=Timeouts(connect=0.1)) as client:
        error = failure(ask(client).get_stream)

    assert error_class is type(error)
    assert said in str(error)


def test_a_proxy_that_denies_a_tunnel_is_not_asked_again(
    server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 4xx of the proxy is final, as a provider's is."""
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    server.reply(error_answer(407))
    with client_at("https://provider.test/v1") as client:
        error = failure(ask(client).get_stream)

    assert (ConnectFailed, 1) == (type(error), error.attempts)


def test_a_proxy_that_is_not_there_is_named_as_the_culprit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says that it is the proxy that refuses, not the provider."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with client_at("http://provider.test/v1") as client:
        error = failure(ask(client).get_stream)

    assert (ConnectFailed, 3) == (type(error), error.attempts)
    assert "proxy" in str(error)
