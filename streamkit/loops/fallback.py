"""The next model, where one cannot be asked: a generator that wraps calls, of which one answers."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing

from streamkit import lazy_attrs as attrs
from streamkit.call import Call, Scope
from streamkit.errors import StreamKitError, without_frames
from streamkit.types.chunks import Chunk

__all__ = ["Fallback"]


@attrs.frozen
class Fallback:
    """Calls of which each is made only if the one before could not be opened, or failed before its first chunk.

    That holds for failures that may pass (`retryable`), after the call's own retries. Any other ends the stream: what
    one provider refuses for good reason is not to be asked of another unawares.
    """

    calls: Sequence[Call]

    def check(self) -> None:
        """Raise the `ConfigError` that one of the calls would raise for what its provider cannot do."""
        for call in self.calls:
            call.check()

    def batches(self, scope: Scope) -> Generator[list[Chunk], None, None]:
        """Give the chunks of the call that answers; raise the error of the last one."""
        *others, last = self.calls
        for call in others:
            begun = False
            try:
                with closing(call.batches(scope)) as batches:
                    for batch in batches:
                        begun = begun or bool(batch)
                        yield batch
                return
            except StreamKitError as error:
                if begun or not error.retryable or scope.ended() is not None:
                    raise
                without_frames(error)  # an observer may keep it, and with its frames the connection
        yield from last.batches(scope)
