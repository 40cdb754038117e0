"""Who may ask the chat page's server."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streamkit.integrations.chat_page.guard import Refusal, check_host, check_origin


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "chat.localhost:1", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "[::1]"]
)
def test_loopback_is_allowed(host: str) -> None:
    """By any of its names, with and without a port."""
    check_host({"HTTP_HOST": host}, ())


@pytest.mark.parametrize(
    "host",
    [
        "", "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.2",
        "[::2]:1", "[::1", "0.0.0.0", "127.0.0.1@evil.example", "notlocalhost",
    ],
)  # fmt: skip
def test_another_host_is_not(host: str) -> None:
    """A name that somebody else has lead here, or that nothing says is ours, is refused; so is none at all."""
    with pytest.raises(Refusal) as refused:
        check_host({"HTTP_HOST": host}, ())

    assert 403 == refused.value.status


@pytest.mark.parametrize(
    ("hosts", "host", "allowed"),
    [
        (["chat.example"], "chat.example", True),
        (["Chat.Example"], "chat.example:443", True),
        (["chat.example"], "other.example", False),
        (["192.168.1.2"], "192.168.1.2:8080", True),
        (["192.168.1.2"], "192.168.1.3:8080", False),
        (["0.0.0.0"], "192.168.1.3:8080", True),
        (["::"], "[fe80::1]:8080", True),
        (["0.0.0.0"], "evil.example", False),
        (["*"], "anything.example", True),
        ([""], "", False),
        (["[::2]"], "[::2]:1", True),
    ],
)
def test_hosts_that_are_named(hosts: Sequence[str], host: str, allowed: bool) -> None:
    """A name is allowed as it is, an address for all addresses lets in any number but no name, and * anything."""
    if allowed:
        check_host({"HTTP_HOST": host}, hosts)
    else:
        with pytest.raises(Refusal):
            check_host({"HTTP_HOST": host}, hosts)


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"HTTP_ORIGIN": "http://localhost:8080"}, True),
        ({"HTTP_ORIGIN": "https://LOCALHOST:8080"}, True),
        ({"HTTP_SEC_FETCH_SITE": "same-origin"}, True),
        ({"HTTP_SEC_FETCH_SITE": "none"}, True),
        ({"HTTP_ORIGIN": "http://localhost:3000"}, False),
        ({"HTTP_ORIGIN": "http://evil.example"}, False),
        ({"HTTP_ORIGIN": "null"}, False),
        ({"HTTP_ORIGIN": ""}, False),
        ({"HTTP_SEC_FETCH_SITE": "same-site"}, False),
        ({"HTTP_SEC_FETCH_SITE": "cross-site"}, False),
        ({"HTTP_ORIGIN": "http://localhost:8080", "HTTP_SEC_FETCH_SITE": "cross-site"}, False),
    ],
)
def test_only_its_own_page_may_ask(headers: dict[str, str], allowed: bool) -> None:
    """A page of another origin, also one at another port of this machine, is refused; what is no page is not."""
    environ = {"HTTP_HOST": "localhost:8080", **headers}
    if allowed:
        check_origin(environ)
    else:
        with pytest.raises(Refusal) as refused:
            check_origin(environ)

        assert 403 == refused.value.status


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://chat.example", True),
        ("https://chat.example:8443", True),
        ("https://evil.example", False),
        ("https://chat.example.evil.example", False),
        ("null", False),
    ],
)
def test_a_page_behind_a_proxy_may_ask(origin: str, allowed: bool) -> None:
    """A proxy that passes its own name for the server leaves the page's in Origin: a host that is allowed is ours."""
    environ = {"HTTP_HOST": "127.0.0.1:8080", "HTTP_ORIGIN": origin, "HTTP_SEC_FETCH_SITE": "same-origin"}
    if allowed:
        check_origin(environ, ["chat.example"])
    else:
        with pytest.raises(Refusal):
            check_origin(environ, ["chat.example", "*"])
