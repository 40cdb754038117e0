"""Who may ask the chat page's server: requests to a host name that is its own, and, to change anything, its own page.

A server on loopback is within reach of every page that its user opens. Such a page can have its own name lead here (DNS
rebinding), which the Host header shows; and it can send requests, which Origin and Sec-Fetch-Site show.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

__all__ = ["ALL_ADDRESSES", "Refusal", "check_host", "check_origin"]

ALL_ADDRESSES = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - recognised, not bound to
"""What a server is told to listen on where it is to be reached at any address of the machine."""


class Refusal(Exception):
    """A request is answered with this status and message, and nothing is done."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def check_host(environ: Mapping[str, Any], hosts: Collection[str]) -> None:
    """Refuse a request whose Host is neither a loopback name nor one of these.

    "*" among them allows any. An address that stands for all addresses, such as "0.0.0.0", allows any that is written
    as a number: no page can make its own name that.
    """
    name = _name(environ.get("HTTP_HOST", ""))
    if "*" in hosts or _is_among(name, hosts):
        return
    address = _address(name)
    allowed = name == "localhost" or name.endswith(".localhost")
    allowed = allowed or (address is not None and (address.is_loopback or not ALL_ADDRESSES.isdisjoint(hosts)))
    if not allowed:
        raise Refusal(
            HTTPStatus.FORBIDDEN,
            "this server does not go by that name: allow it with --allow-host, or hosts=... of chat_page",
        )


def check_origin(environ: Mapping[str, Any], hosts: Collection[str] = ()) -> None:
    """Refuse a request that a browser sends for a page of another origin.

    That of one of these hosts is ours: a proxy may have put another name into the Host header.
    """
    site = environ.get("HTTP_SEC_FETCH_SITE", "same-origin")
    place = environ.get("HTTP_ORIGIN", "//" + environ.get("HTTP_HOST", "")).partition("//")[2].lower()
    ours = place == environ.get("HTTP_HOST", "").lower() or _is_among(_name(place), hosts)
    if not ours or site not in ("same-origin", "none"):
        raise Refusal(HTTPStatus.FORBIDDEN, "only the page of this server may ask")


def _is_among(name: str, hosts: Collection[str]) -> bool:
    return name in {host.lower().strip("[]") for host in hosts if host}


def _name(host: str) -> str:
    """Give the name in a Host header, without port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # brackets that do not close
        return ""


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
