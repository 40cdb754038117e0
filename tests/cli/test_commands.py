"""The group of all commands."""

from __future__ import annotations

import importlib
import pkgutil

import click

import streamkit.cli
from streamkit.cli.commands import commands


def test_every_command_is_in_the_group() -> None:
    """A command that a module of the package defines can be called by its name."""
    modules = [
        importlib.import_module(f"streamkit.cli.{each.name}") for each in pkgutil.iter_modules(streamkit.cli.__path__)
    ]
    defined = {
        value.name
        for module in modules
        for value in vars(module).values()
        if isinstance(value, click.Command) and value is not commands
    }

    assert defined == set(commands.commands)
