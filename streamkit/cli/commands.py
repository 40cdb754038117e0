"""The group of all commands. A new command is a module beside this one and a line here."""

from __future__ import annotations

import click

import streamkit
from streamkit.cli.chat import chat
from streamkit.cli.models import models
from streamkit.cli.serve import serve

__all__ = ["commands"]

commands = click.version_option(streamkit.__version__, prog_name="streamkit")(
    click.Group("streamkit", commands=[chat, models, serve], help="Stream answers from large language models.")
)
"""The group; `streamkit.cli.main` runs it."""
