"""Local: SmolLM2-135M on this machine, as a provider; no key, no network, no cost.

It speaks chat completions to the server that `streamkit.local` runs. A model this small writes fluent nonsense: it is
for trying things out, for tests and for demonstrations, where a real answer at a real pace counts, not a right one.
"""

from __future__ import annotations

from streamkit import lazy_attrs as attrs
from streamkit.codec import Capabilities, Model
from streamkit.local import require_wheels, server
from streamkit.providers.openai_chat import CAPABILITIES, ChatCompletions
from streamkit.types.secret import Secret

__all__ = ["DEFAULT_MODEL", "Local"]

DEFAULT_MODEL = "smollm2-135m"
"""The only model there is."""


_CODEC = ChatCompletions(
    capabilities=attrs.evolve(
        CAPABILITIES, top_k=True, prefill=True, required_tool=False, named_tool=False, images=False, files=False
    )
)


class Local:
    """The embedded model. Stateless; share it between any number of threads, pickle it, fork with it.

    The first request of the process starts the server, which takes about a second, unless `start` has; all providers of
    the process share it. It decodes four answers at a time, each further one waits; all prompts and answers under way
    share 8192 tokens of context. An answer ends after 1024 tokens unless `max_tokens` says otherwise. Tools are offered
    to the model, but it cannot be forced to call one.

    Raises:
        ConfigError: Engine or weights are not installed; the message has the commands that install them.
    """

    name = "local"
    default_model = DEFAULT_MODEL
    identity = name

    def __init__(self) -> None:
        require_wheels()

    @property
    def base_url(self) -> str:
        """The server's address. Blocks while the server starts, for a minute at most.

        Raises:
            ConnectFailed: The server does not start; the message has its last words.
        """
        return f"{server().address()}/v1"

    @property
    def codec(self) -> ChatCompletions:
        """Chat completions."""
        return _CODEC

    @property
    def capabilities(self) -> Capabilities:
        """What its server can do."""
        return _CODEC.capabilities

    def secret(self) -> Secret:
        """Give the key that this process's server was started with; nobody else knows it."""
        return server().key

    def start(self) -> None:
        """Start the server now, where the first answer should not wait for it. Blocks; raises as `base_url` does."""
        server().address()

    def model(self, name: str = DEFAULT_MODEL) -> Model:
        """Give its model, for `stream_text` and its kin."""
        return Model(name=name, provider=self)

    def __repr__(self) -> str:
        return f"Local(model={DEFAULT_MODEL!r})"
