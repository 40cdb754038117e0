"""The command line: `streamkit`, or `python -m streamkit`. It stands above everything and is imported by nothing.

Exit codes: 0 done, 1 wrong use, 2 the provider said no or answered wrongly, 3 the network, 4 a time limit,
130 interrupted, 141 nobody reads the output any more.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from streamkit.errors import ConfigError, ContextError, StreamKitError, TransportError

__all__ = ["exit_code", "main"]


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line, by default that of this process, and give the exit code."""
    try:
        import click
    except ImportError:
        print('The command line needs click: pip install "streamkit-llm[cli]"', file=sys.stderr)
        return 1
    from streamkit.cli.commands import commands

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an answer may hold what the terminal's encoding does not
    try:
        code = commands.main(args, prog_name="streamkit", standalone_mode=False)
    except click.ClickException as e:
        e.show()
        return 1
    except (click.Abort, KeyboardInterrupt):
        print("[Cancelled by user]", file=sys.stderr)
        return 130
    except StreamKitError as e:
        print(f"Error: {e}", file=sys.stderr)
        return exit_code(e)
    return code if isinstance(code, int) else 0


def exit_code(error: StreamKitError) -> int:
    """Give the exit code that an error stands for."""
    if isinstance(error, ConfigError):
        return 1
    if isinstance(error, TimeoutError):
        return 4
    if isinstance(error, TransportError):
        return 3
    return 130 if isinstance(error, ContextError) else 2
