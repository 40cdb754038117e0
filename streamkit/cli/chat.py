"""`streamkit chat`: one answer, or, without a prompt at a terminal, a conversation."""

from __future__ import annotations

import contextlib
import json
import signal
import sys

import click

from streamkit import lazy_attrs as attrs
from streamkit.cli.output import discard, write
from streamkit.cli.providers import choose
from streamkit.client import ChatBuilder, Client
from streamkit.context import Context, cancel_on_signals
from streamkit.errors import Cancelled, StreamKitError
from streamkit.types import ChatResponse, Message, Usage, assistant, user

__all__ = ["chat"]


@attrs.frozen(kw_only=True)
class _Output:
    """How an answer is shown."""

    stream: bool
    as_json: bool
    usage: bool


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("prompt", required=False)
@click.option("-m", "--model", help="The model, or provider and model, as in groq:llama-3.3-70b-versatile.")
@click.option("-s", "--system", help="The system prompt.")
@click.option("--provider", metavar="NAME", help="Whom to ask, such as groq; by default whoever a key is set for.")
@click.option("--no-stream", is_flag=True, help="Print the answer when it is complete.")
@click.option("--json", "as_json", is_flag=True, help="Print the complete answer as one JSON object.")
@click.option("-u", "--usage", is_flag=True, help="Report the tokens, on stderr.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="For each answer.")
def chat(
    prompt: str | None,
    model: str | None,
    system: str | None,
    provider: str | None,
    no_stream: bool,
    as_json: bool,
    usage: bool,
    timeout: float | None,
) -> int:
    """Ask PROMPT, with stdin appended where that is piped; without either, hold a conversation.

    Ctrl-C cancels the answer. With no key set, a small model on this machine answers.
    """
    output = _Output(stream=not (no_stream or as_json), as_json=as_json, usage=usage)
    text = _question(prompt)
    chosen, name = choose(provider, model)
    with Client(chosen) as client:
        builder = client.chat(name).timeout(timeout)
        if system is not None:
            builder = builder.system(system)
        try:
            if text is None:
                _converse(builder, output)
            else:
                _answer(builder.user(text), output)
        except Cancelled:
            return 130
        except BrokenPipeError:  # here, because click would make it code 1
            discard()
            return 141
    return 0


def _question(prompt: str | None) -> str | None:
    """Give what to ask, or None for a conversation."""
    piped = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    if prompt is None and not piped.strip():
        if sys.stdin is not None and sys.stdin.isatty():
            return None
        raise click.UsageError("no prompt: give one, or pipe one in")
    return "\n\n".join(part for part in (prompt, piped.strip()) if part)


def _converse(builder: ChatBuilder, output: _Output) -> None:
    """Ask what is typed, until /exit or the end of input. A failed turn is forgotten, a cancelled one kept."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # input() then edits the line
    history: list[Message] = []
    print("Ctrl-C cancels an answer; /exit or Ctrl-D ends.", file=sys.stderr)
    while (text := _typed()) is not None:
        if not text.strip():
            continue
        turn = builder.messages(history).user(text)
        try:
            history += [user(text), *_answer(turn, output).messages]
        except Cancelled as e:
            if e.partial is not None and e.partial.text:
                history += [user(text), assistant(e.partial.text)]
        except StreamKitError as e:
            print(f"Error: {e}", file=sys.stderr)


def _typed() -> str | None:
    while True:
        try:
            text = input("> ")
        except EOFError:
            print()
            return None
        except KeyboardInterrupt:
            print()
            continue
        return None if text.strip() == "/exit" else text


def _answer(builder: ChatBuilder, output: _Output) -> ChatResponse:
    """Show one answer; Ctrl-C cancels it, and what had arrived is shown all the same."""
    with Context() as ctx, cancel_on_signals(ctx, signals=[signal.SIGINT]):
        try:
            response = _shown(builder, ctx, output)
        except Cancelled:
            print("[Cancelled by user]", file=sys.stderr)
            raise
    if response.finish_reason == "length":
        print("[Stopped at the token limit]", file=sys.stderr)
    if output.usage:
        _report(response.total_usage)
    return response


def _shown(builder: ChatBuilder, ctx: Context, output: _Output) -> ChatResponse:
    written = 0
    arrived: ChatResponse | None = None
    try:
        with builder.get_stream(ctx) as stream:
            if output.stream:
                for text in stream.text():
                    write(text)
                    written += len(text)
            arrived = stream.result()
        return arrived
    except StreamKitError as e:
        arrived = e.partial
        raise
    finally:
        if arrived is not None and (arrived.complete or arrived.text):
            write(_json(arrived) if output.as_json else arrived.text[written:])
            write("\n")


def _json(response: ChatResponse) -> str:
    usage = response.total_usage
    return json.dumps(
        {
            "text": response.text,
            "model": response.response.model,
            "finish_reason": response.finish_reason,
            "complete": response.complete,
            "usage": {
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "total_tokens": usage.total_tokens,
            },
        },
        ensure_ascii=False,
    )


def _report(usage: Usage) -> None:
    counts = f"{usage.prompt_tokens} prompt, {usage.completion_tokens} completion, {usage.total_tokens} total"
    print(f"[Tokens: {counts if usage.source == 'reported' else 'unknown'}]", file=sys.stderr)
