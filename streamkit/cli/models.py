"""`streamkit models`: the names of a provider's models."""

from __future__ import annotations

import click

from streamkit.cli.output import discard, write
from streamkit.cli.providers import provider_of
from streamkit.client import Client

__all__ = ["models"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--provider", metavar="NAME", help="Whom to ask, such as groq; by default whoever a key is set for.")
def models(provider: str | None) -> int:
    """Print the names of a provider's models, one a line, as -m of `streamkit chat` takes them."""
    with Client(provider_of(provider)) as client:
        names = client.models()
    try:
        write("".join(f"{name}\n" for name in names))
    except BrokenPipeError:  # here, because click would make it code 1
        discard()
        return 141
    return 0
