"""`streamkit serve`: a page to chat on, at an address of this machine."""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
from collections.abc import Sequence

import click

from streamkit.cli.providers import choose
from streamkit.client import Client

__all__ = ["serve"]

_LOOPBACK = "127.0.0.1"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--host", default=_LOOPBACK, show_default=True, help="The address to listen on; 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="The port; 0: a free one.")
@click.option("--allow-host", multiple=True, metavar="NAME", help="A name that the page is reached by, as by a proxy.")
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
@click.option("-m", "--model", help="The model, or provider and model, as in groq:llama-3.3-70b-versatile.")
@click.option("-s", "--system", help="The system prompt.")
@click.option("--provider", metavar="NAME", help="Whom to ask, such as groq; by default whoever a key is set for.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="For each answer.")
def serve(
    host: str,
    port: int,
    allow_host: Sequence[str],
    opens: bool,
    model: str | None,
    system: str | None,
    provider: str | None,
    timeout: float | None,
) -> int:
    """Serve a page to chat on, until Ctrl-C.

    With no key set, a small model on this machine answers. Whoever reaches the page spends your tokens, so it is served
    to this machine alone unless --host says otherwise.
    """
    from streamkit.integrations.chat_page import chat_page  # here, as no other command needs a server
    from streamkit.integrations.wsgi_server import serve as serve_app

    host = host.removeprefix("[").removesuffix("]") or "0.0.0.0"  # noqa: S104 - as the user says: none is all
    chosen, name = choose(provider, model)
    if not _is_loopback(host):
        _warn(host)
    with Client(chosen) as client:
        builder = client.chat(name).timeout(timeout)
        if system is not None:
            builder = builder.system(system)
        page = chat_page(builder, hosts=[*_names(host), *allow_host])
        serve_app(page, host, port, on_ready=lambda url: _tell(_reachable(url), name, opens=opens))
    return 0


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    except ValueError:
        return host == "localhost"


def _names(host: str) -> list[str]:
    """The names that a server at this address goes by."""
    from streamkit.integrations.chat_page.guard import ALL_ADDRESSES

    if host not in ALL_ADDRESSES:
        return [host]
    name = socket.gethostname()
    return [host, name, f"{name}.local"]


def _warn(host: str) -> None:
    print(
        f"Warning: other machines may reach {host}. There is no password: whoever opens the page spends your tokens.",
        file=sys.stderr,
    )


def _reachable(url: str) -> str:
    """Give an address that a browser of this machine can open."""
    return url.replace("0.0.0.0", _LOOPBACK).replace("[::]", "[::1]")  # noqa: S104 - nothing is bound to it


def _tell(url: str, model: str, *, opens: bool) -> None:
    print(f"Chat with {model}: {url}  (Ctrl-C ends it)", flush=True)
    if opens:
        import webbrowser

        # On a thread: a browser in the terminal would keep us from serving it.
        threading.Thread(target=webbrowser.open, args=(url,), name="streamkit-open", daemon=True).start()
