"""Client and ChatBuilder: what users write."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from streamkit import lazy_attrs as attrs
from streamkit.call import Call
from streamkit.codec import Capabilities, Model, Provider
from streamkit.context import Context
from streamkit.errors import ConfigError, printable, require
from streamkit.forks import new_lock
from streamkit.hooks import Hooks
from streamkit.retry import RetryBudget
from streamkit.run import Source, Upstream
from streamkit.settings import Limits, RetryPolicy, Timeouts
from streamkit.stream import Cancellable, ChatStream, start_stream
from streamkit.types.messages import FilePart, ImagePart, Message, MessageLike, Part
from streamkit.types.request import AnyTool, ChatRequest, ResponseFormat, Tool
from streamkit.types.response import ChatResponse
from streamkit.types.usage import Usage

if TYPE_CHECKING:
    from streamkit.loops.fallback import Fallback

__all__ = ["ChatBuilder", "Client", "client_of"]


class Client:
    """A provider and settings; share it between any number of threads.

    Pickled it makes another one of the same settings, which looks its key up anew: in other processes, too.

    Args:
        provider: Whom to ask, such as `OpenAI()`.
        retry_policy: When to open again; `RetryPolicy()` by default.
        timeouts: The five clocks; `Timeouts()` by default.
        limits: Bounds in bytes; `Limits()` by default.
        hooks: Observers.
        session: Your own `requests.Session` (proxies, CA bundle, client certificate, adapters), used as it is and never
            closed. While its headers are awaited, a cancel frees the caller but the thread waits out the timeout.
        buffer: Chunks that lie unread before the producer waits for the reader; 0 for no bound.
        accumulate: False keeps no text, for endless streams.
        fallback: Models, tried in order when an answer cannot be opened for a reason that may pass (after the retries),
            or fails so before its first chunk; `response.model` tells who answered.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        retry_policy: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        hooks: Hooks | None = None,
        session: Any = None,
        buffer: int = 10_000,
        accumulate: bool = True,
        fallback: Sequence[Model | str] = (),
    ) -> None:
        if isinstance(provider, type) or not hasattr(provider, "codec"):
            raise ConfigError(f"{provider!r} is no provider: give one of streamkit.providers, such as OpenAI()")
        from streamkit.transport.session import Transport  # here, because it imports requests

        self.provider = provider
        self._defaults = _Settings(
            retry_policy=RetryPolicy() if retry_policy is None else retry_policy,
            timeouts=Timeouts() if timeouts is None else timeouts,
            limits=Limits() if limits is None else limits,
            hooks=Hooks() if hooks is None else hooks,
            buffer=buffer,
            accumulate=accumulate,
        )
        self._fallback = [client_of(model) for model in fallback]
        self._transport = Transport(session)
        self._has_session = session is not None
        self._budget = RetryBudget()
        self._lock = new_lock()  # guards _usage and _runs
        self._usage = Usage()
        self._runs: weakref.WeakSet[Cancellable] = weakref.WeakSet()

    @classmethod
    def from_env(cls, provider: str, **settings: Any) -> Client:
        """Make a client of the provider of this name, such as "groq", with the environment's key and address.

        Args:
            provider: One of `streamkit.providers.names()`.
            settings: What `Client` takes, such as `timeouts`.

        Raises:
            ConfigError: There is no such provider, or its variables are not set; the message names them.
        """
        from streamkit import providers  # here, as most programs name their provider's class

        found = providers.find(provider)
        return cls(getattr(found, "from_env", found)(), **settings)

    @property
    def usage(self) -> Usage:
        """Tokens of all answers so far, also of failed ones as far as reported. Thread-safe."""
        return self._usage

    def chat(self, model: str | None = None) -> ChatBuilder:
        """Begin a request to `model`, or to the provider's default one where it has such (`Local` has)."""
        name = self._default_model() if model is None else model
        return ChatBuilder(client=self, request=ChatRequest(model=name), settings=self._defaults)

    def model(self, name: str | None = None) -> Model:
        """Give a model that is asked through this client's pool, retries, timeouts, limits and hooks.

        Without a name it is the provider's default one, where it has such (`Local` has).
        """
        return Model(name=self._default_model() if name is None else name, provider=self.provider, client=self)

    def _default_model(self) -> str:
        return str(getattr(self.provider, "default_model", ""))

    def models(self) -> list[str]:
        """Ask the provider for the names of its models, as `chat` takes them, in its order.

        Blocks; with the client's retries and timeouts, though `Timeouts.total` bounds only when a retry may begin.
        Raises errors of our tree; `ConfigError` where the provider lists none.
        """
        return self._call(ChatRequest(model=""), self._defaults).models()

    def close(self) -> None:
        """Cancel live streams and close idle connections. A later request begins afresh."""
        with self._lock:
            runs = list(self._runs)
        for run in runs:
            if run.live:  # what lies unread of an ended one stays readable
                run.cancel("the client was closed")
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self.provider!r}>"

    def __copy__(self) -> Client:
        return self  # made anew it might find another key, or none

    def __deepcopy__(self, memo: object) -> Client:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self._has_session:
            raise ConfigError("a client with a session of its own cannot be sent to other processes: use threads")
        settings = {field.name: getattr(self._defaults, field.name) for field in attrs.fields(_Settings)}
        fallback = [client.model(name) for client, name in self._fallback]
        return functools.partial(type(self), self.provider, fallback=fallback, **settings), ()

    def _call(self, request: ChatRequest, settings: _Settings, *, step: int = 1, index: int = 0) -> Call:
        return Call(
            request=request,
            provider=self.provider,
            transport=self._transport,
            timeouts=settings.timeouts,
            limits=settings.limits,
            retry_policy=settings.retry_policy,
            budget=self._budget,
            hooks=settings.hooks,
            step=step,
            index=index,
        )

    def _enlist(self, run: Cancellable) -> None:
        with self._lock:
            self._runs.add(run)

    def _settled(self, response: ChatResponse) -> None:
        with self._lock:
            self._usage = attrs.evolve(self._usage + response.total_usage, raw={})


@attrs.frozen(kw_only=True)
class _Settings:
    """What a client sets for all its requests and a builder may change for one."""

    retry_policy: RetryPolicy
    timeouts: Timeouts
    limits: Limits
    hooks: Hooks
    buffer: int
    accumulate: bool

    def __attrs_post_init__(self) -> None:
        require("retry_policy", self.retry_policy, RetryPolicy, "give one, such as RetryPolicy(max_retries=5)")
        require("timeouts", self.timeouts, Timeouts, "give Timeouts, such as Timeouts(total=30)")
        require("limits", self.limits, Limits, "give Limits, such as Limits(response=10_000_000)")
        require("hooks", self.hooks, Hooks, "give Hooks, such as Hooks(on_chunk=print)")
        require("buffer", self.buffer, int, "give a number of chunks, 0 for no bound")


@attrs.frozen(kw_only=True)
class ChatBuilder:
    """A request not yet sent. Immutable: each method gives a new one; share it between threads and fork it at will."""

    _client: Client
    _request: ChatRequest
    _settings: _Settings

    # -- what is said

    def system(self, text: str) -> ChatBuilder:
        """Add a system message."""
        return self._say(Message(role="system", content=text))

    def user(self, text: str | Sequence[Part | Mapping[str, Any]]) -> ChatBuilder:
        """Add a user message: text, or a list of parts."""
        return self._say(Message(role="user", content=text))

    def assistant(self, text: str | Sequence[Part | Mapping[str, Any]]) -> ChatBuilder:
        """Add what the model said before."""
        return self._say(Message(role="assistant", content=text))

    def messages(self, messages: Iterable[MessageLike]) -> ChatBuilder:
        """Add messages: `Message`s, or dicts as openai and anthropic users have them."""
        if isinstance(messages, (str, Mapping, Message)):
            raise ConfigError("messages() takes a list of messages; for one text use .user(...)")
        return self._say(*(Message.of(message) for message in messages))

    def image(self, url_or_bytes: str | bytes | Path, media_type: str | None = None) -> ChatBuilder:
        """Add an image to the last user message: a URL (also a `data:` one), its bytes, or a `pathlib.Path`."""
        if isinstance(url_or_bytes, Path):
            return self._attach(ImagePart.of_path(url_or_bytes, media_type))
        if isinstance(url_or_bytes, bytes):
            return self._attach(ImagePart.of_bytes(url_or_bytes, media_type))
        return self._attach(ImagePart.of_url(url_or_bytes))

    def file(self, path_or_bytes: str | Path | bytes, *, media_type: str | None = None, name: str = "") -> ChatBuilder:
        """Add a document to the last user message: a path, or its bytes.

        Its media type, where none is given, is that of the bytes, else what the name's ending tells, else PDF.
        """
        if isinstance(path_or_bytes, bytes):
            part = FilePart(data=path_or_bytes, media_type=media_type or "", name=name or "file.pdf")
        else:
            part = FilePart.of_path(path_or_bytes, media_type)
            part = attrs.evolve(part, name=name) if name else part
        return self._attach(part)

    # -- how to answer

    def temperature(self, value: float) -> ChatBuilder:
        """Set the sampling temperature."""
        return self._with(temperature=value)

    def max_tokens(self, n: int) -> ChatBuilder:
        """Bound the answer, in tokens."""
        return self._with(max_tokens=_positive("max_tokens", n))

    def top_p(self, value: float) -> ChatBuilder:
        """Sample from the likeliest tokens that make up this share."""
        return self._with(top_p=value)

    def top_k(self, n: int) -> ChatBuilder:
        """Sample from the n likeliest tokens."""
        return self._with(top_k=n)

    def stop(self, *texts: str) -> ChatBuilder:
        """End the answer where one of these texts would come."""
        return self._with(stop=texts)

    def seed(self, n: int) -> ChatBuilder:
        """Ask for the same sampling each time."""
        return self._with(seed=n)

    def penalties(self, *, frequency: float | None = None, presence: float | None = None) -> ChatBuilder:
        """Make repeating words (`frequency`) or subjects (`presence`) less likely."""
        return self._with(frequency_penalty=frequency, presence_penalty=presence)

    def logprobs(self, top: int = 0) -> ChatBuilder:
        """Ask for the tokens' log probabilities, and those of the `top` likeliest others, in the chunks' metadata."""
        return self._with(logprobs=top)

    def tools(self, tools: Sequence[AnyTool]) -> ChatBuilder:
        """Offer tools. `get_stream()` reports the model's calls (`final.tool_calls`) and never runs them."""
        return self._with(tools=tuple(Tool.of(tool) for tool in tools))

    def tool_choice(self, choice: str, *, parallel: bool | None = None) -> ChatBuilder:
        """Say which tool to call: "auto", "none", "required" or a name; `parallel=False` allows one call only."""
        return self._with(tool_choice=choice, parallel_tool_calls=parallel)

    def response_format(self, kind: Literal["text", "json"]) -> ChatBuilder:
        """Ask for "text" or for "json" (any object)."""
        if kind not in ("text", "json"):
            raise ConfigError(f"response_format({kind!r}): use 'text' or 'json', or json_schema(...)")
        return self._with(response_format=ResponseFormat(type=kind))

    def json_schema(self, schema: Mapping[str, Any], *, name: str = "answer", strict: bool = True) -> ChatBuilder:
        """Ask for an object of this JSON Schema."""
        return self._with(response_format=ResponseFormat(type="schema", schema=schema, name=name, strict=strict))

    def extended_thinking(self, on: bool = True) -> ChatBuilder:
        """Let the model think first; its thinking comes as chunks of type "thinking"."""
        return self._with(thinking=on)

    def thinking_budget(self, tokens: int) -> ChatBuilder:
        """Bound the thinking, in tokens; what 0 and -1 mean, if anything, is the provider's (see its page)."""
        return self._with(thinking_budget=tokens)

    def reasoning_effort(self, effort: str) -> ChatBuilder:
        """Say how much to reason, in the provider's words, such as "low"."""
        return self._with(reasoning_effort=effort)

    def prompt_caching(self, on: bool = True) -> ChatBuilder:
        """Have the provider cache the beginning of the prompt; where it does so by itself, this asks for nothing."""
        return self._with(prompt_caching=on)

    def headers(self, headers: Mapping[str, str]) -> ChatBuilder:
        """Send these headers too."""
        return self._with(headers={**self._request.headers, **headers})

    def provider_options(self, options: Mapping[str, Any]) -> ChatBuilder:
        """Put these into the request's JSON as they are: what only this provider knows."""
        return self._with(provider_options={**self._request.provider_options, **options})

    # -- how to ask

    def timeout(self, seconds: float | None) -> ChatBuilder:
        """Set `Timeouts.total`: seconds for everything."""
        return self.timeouts(attrs.evolve(self._settings.timeouts, total=seconds))

    def timeouts(self, timeouts: Timeouts) -> ChatBuilder:
        """Set all five clocks."""
        return self._set(timeouts=timeouts)

    def retry_policy(self, policy: RetryPolicy) -> ChatBuilder:
        """Set when to open again."""
        return self._set(retry_policy=policy)

    def buffer(self, chunks: int) -> ChatBuilder:
        """Set how many chunks may lie unread before the producer waits; 0 for no bound."""
        return self._set(buffer=chunks)

    def accumulate(self, on: bool) -> ChatBuilder:
        """Keep the text for `final` and `partial`, or (False) not, for endless streams."""
        return self._set(accumulate=on)

    def hooks(self, hooks: Hooks) -> ChatBuilder:
        """Add observers to the client's own."""
        require("hooks", hooks, Hooks, "give Hooks, such as Hooks(on_chunk=print)")
        return self._set(hooks=self._settings.hooks | hooks)

    # -- asking

    def get_stream(self, ctx: Context | None = None) -> ChatStream:
        """Send the request and give the answer as it comes.

        Blocks until the answer is open (its headers have come), retries included; errors up to there are raised, later
        ones reach `stream.err`. A cancelled `ctx` and Ctrl-C free the caller at once.
        """
        return self.start(self.call().batches, ctx)

    def stream(self, ctx: Context | None = None) -> ChatStream:
        """Alias of `get_stream`."""
        return self.get_stream(ctx)

    def get_response(self, ctx: Context | None = None) -> ChatResponse:
        """Send the request and give the whole answer; blocks to its end; raises, with what had arrived in `partial`."""
        stream = self.get_stream(ctx)
        try:
            return stream.result()
        except BaseException:
            stream.cancel("get_response was interrupted")  # by Ctrl-C; to a stream that has ended it is nothing
            raise

    # -- for what is built on it: loops over calls, conversations

    @property
    def request(self) -> ChatRequest:
        """What is asked so far."""
        return self._request

    @property
    def client(self) -> Client:
        """Who is asked."""
        return self._client

    @property
    def settings(self) -> _Settings:
        """How it is asked. Internal."""
        return self._settings

    @property
    def observers(self) -> Hooks:
        """The client's hooks and those added."""
        return self._settings.hooks

    @property
    def capabilities(self) -> Capabilities:
        """What the API of the provider can do."""
        return self._client.provider.capabilities

    def call(self, *, step: int = 1, index: int = 0) -> Call | Fallback:
        """Give the call that `get_stream` makes: step `step` of several, its chunks numbered from `index`. Internal."""
        first, *others = [
            client._call(attrs.evolve(self._request, model=name), self._settings, step=step, index=index)
            for client, name in ((self._client, self._request.model), *self._client._fallback)
        ]
        if not others:
            return first
        from streamkit.loops.fallback import Fallback  # few need it, and none for a first token

        return Fallback((first, *others))

    def start(
        self,
        source: Source,
        ctx: Context | None = None,
        *,
        logs: bool = False,
        on_end: Callable[[ChatResponse], object] | None = None,
        made_of: Upstream | None = None,
    ) -> ChatStream:
        """Start a stream of what a call, or a loop over calls, gives. Internal.

        `logs` keeps all chunks (then nothing bounds how many lie unread). `on_end` is told the response, partial or
        whole, before the outcome can be read, on whatever thread decides it: it must be quick and take no lock.
        `made_of` has the response of its own that the stream then has.
        """
        client, settings = self._client, self._settings
        return start_stream(
            source,
            name=client.provider.name,
            ctx=ctx,
            timeouts=settings.timeouts,
            hooks=settings.hooks,
            buffer=settings.buffer,
            accumulate=settings.accumulate,
            max_headers=settings.limits.headers,
            on_end=on_end,
            on_settled=client._settled,
            enlist=client._enlist,
            logs=logs,
            made_of=made_of,
        )

    def on(self, client: Client, model: str) -> ChatBuilder:
        """Give the same request to another client's model."""
        return attrs.evolve(self, client=client, request=attrs.evolve(self._request, model=model))

    def instead(self, messages: Iterable[MessageLike]) -> ChatBuilder:
        """Give the same request with these messages; the system messages stay, unless there are some among these."""
        given = tuple(Message.of(message) for message in messages)
        kept = () if any(message.role == "system" for message in given) else self._request.system
        return self._with(messages=(*kept, *given))

    # -- building

    def _with(self, **changes: Any) -> ChatBuilder:
        return attrs.evolve(self, request=attrs.evolve(self._request, **changes))

    def _set(self, **changes: Any) -> ChatBuilder:
        return attrs.evolve(self, settings=attrs.evolve(self._settings, **changes))

    def _say(self, *messages: Message) -> ChatBuilder:
        return self._with(messages=(*self._request.messages, *messages))

    def _attach(self, part: Part) -> ChatBuilder:
        messages = self._request.messages
        if messages and messages[-1].role == "user":
            last = attrs.evolve(messages[-1], content=(*messages[-1].content, part))
            return self._with(messages=(*messages[:-1], last))
        return self._say(Message(role="user", content=[part]))


def client_of(model: Model | str) -> tuple[Client, str]:
    """Give whom to ask for a model, and its name.

    A model made by a client is asked through that one. For any other, and for a name such as "openai:gpt-4o", there is
    one client of its provider in the process, which nobody closes.

    Raises:
        ConfigError: the name names no provider and model, or there is no key for it.
    """
    if isinstance(model, str):
        from streamkit import providers  # here, as most programs name their provider's class

        model = providers.model(model)
    if not isinstance(model, Model):
        raise ConfigError(
            f"{printable(repr(model), 100)} is no model: give client.model('name'), or a name such as 'openai:gpt-4o'"
        )
    return model.client or _shared(model.provider), model.name


_clients: dict[Any, Client] = {}
_clients_lock = new_lock()  # guards _clients


def _shared(provider: Provider) -> Client:
    """The client of this provider, or of one that is the same: of its class, at its address, with its key."""
    key = (type(provider), getattr(provider, "identity", id(provider)))
    with _clients_lock:
        if key not in _clients:
            _clients[key] = Client(provider)
        return _clients[key]


def _positive(name: str, n: int) -> int:
    if not isinstance(n, int) or n < 1:
        raise ConfigError(f"{name}({n!r}): must be a whole number, 1 or more")
    return n
