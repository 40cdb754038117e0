"""The process that imports one thing: `python -m benchmarks.imports FUNCTION`.

It prints the seconds of CPU and the MB that this took. `worker` cannot: it has imported part of it by then.
"""

from __future__ import annotations

import sys

from benchmarks.process import cpu, peak_rss

__all__ = ["requests", "streamkit", "streamkit_client"]


def requests() -> None:
    """Import requests."""
    import requests  # noqa: F401 - importing it is what is measured


def streamkit() -> None:
    """Import streamkit."""
    import streamkit  # noqa: F401 - importing it is what is measured


def streamkit_client() -> None:
    """Import streamkit and make a client, which imports requests, too."""
    from streamkit import Client
    from streamkit.providers import OpenAI

    Client(OpenAI(api_key="sk-benchmark", base_url="http://127.0.0.1/v1"))


if __name__ == "__main__":
    seconds, megabytes = cpu(), peak_rss()
    globals()[sys.argv[1]]()
    print(cpu() - seconds, peak_rss() - megabytes)
