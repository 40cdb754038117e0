"""What the examples that serve browsers have in common."""

from __future__ import annotations

import sys

import pytest

from streamkit.testing import ProviderServer, Stall
from tests.browsing import Browser
from tests.loopback import took
from tests.running import run_example
from tests.running_servers import example_serving

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")]


@pytest.fixture(
    params=[("sse_server.py", None), ("flask_view.py", "flask"), ("django_view.py", "django")], ids=lambda p: p[0]
)
def example(request: pytest.FixtureRequest) -> str:
    """The name of one, if what it needs is installed."""
    name, package = request.param
    if package is not None:
        pytest.importorskip(package, reason=f"needs {package}")
    return str(name)


def test_a_missing_key_is_told(example: str) -> None:
    """Asked for openai without a key, it says what to set and fails."""
    code, out, err = run_example(example, "openai")

    assert (1, "") == (code, out)
    assert "OPENAI_API_KEY" in err


def test_who_leaves(example: str, server: ProviderServer) -> None:
    """The provider's stream ends with the browser, also while it is silent."""
    server.reply(Stall())
    with example_serving(example, server) as (_, url):
        with Browser(url, headers={}):
            server.wait_for_request()
        with took(2.0):
            server.wait_until(lambda: server.open_connections == 0)
