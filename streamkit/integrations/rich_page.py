"""A page that grows in the terminal: what is done is printed, what is not is drawn anew. It imports rich.

Done blocks go above a live part of a few rows at the bottom. So the answer scrolls as any other output, and what a
screen cannot hold is above it in full.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.errors import LiveError
from rich.live import Live
from rich.text import Text

from streamkit.errors import ConfigError
from streamkit.integrations.markdown import Block, Bottom, split, window

__all__ = ["Page"]

_DIM = "dim"


class Page:
    """Text of a model, as Markdown, and its thinking, dimmed; one thread at a time.

    No thread is started, and nothing about the terminal is changed that would have to be set back. A text is forgotten
    only after it was printed: an interrupt may show a block twice, and loses none.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pieces: list[str] = []  # what is not yet printed for good
        self._is_thinking = False  # whether that is thinking
        self._is_apart = False  # whether what was printed last wants an empty row after it
        self._view = _View()
        self._status: RenderableType = Text("")
        self._live: Live | None = None

    def write(self, text: str, *, thinking: bool = False) -> None:
        """Add text, to be seen with the next drawing; between answer and thinking, what was before is finished."""
        if thinking != self._is_thinking:
            self._finish()
            self._is_thinking = thinking
        self._pieces.append(text)

    def draw(self, status: str) -> None:
        """Print what is done, and draw the rest and the status anew."""
        done, rest = self._divided(ended=False)
        printed, is_apart = self._spaced(done)
        columns, rows = self._console.size
        growing = [*_gap(is_apart), self._growing(rest, 2 * columns * rows)] if rest.strip() else []
        self._status = Text(status[: columns - 1], style=_DIM, end="")
        try:
            self._print(printed, Group(Bottom(Group(*growing), max(0, rows - 2)), self._status))
        except BaseException:
            self._stop()
            raise
        self._pieces, self._is_apart = [rest], is_apart

    def end(self, last: str, *, style: str = _DIM) -> None:
        """Print all that is left and a last line, and take the live part away."""
        self._status = Text("")
        try:
            self._finish()
        finally:
            self._stop()
        self._console.print(Group(*_gap(self._is_apart), Text(last, style=style)))
        self._is_apart = self._is_thinking = False

    def _finish(self) -> None:
        done, _ = self._divided(ended=True)
        printed, is_apart = self._spaced(done)
        self._print(printed, self._status)
        self._pieces, self._is_apart = [], is_apart or self._is_thinking

    def _divided(self, *, ended: bool) -> tuple[list[RenderableType], str]:
        """Give what is done, and the source of what is not."""
        source = "".join(self._pieces)
        if self._is_thinking:
            at = len(source) if ended else source.rfind("\n") + 1
            lines = source[:at].rstrip("\n") if ended else source[: at - 1]
            return ([Text(lines, style=_DIM)] if at and (lines or not ended) else []), source[at:]
        sources, rest = split(source, ended=ended)
        return [Block(each, self._console) for each in sources], rest

    def _growing(self, rest: str, characters: int) -> RenderableType:
        return Text(rest[-characters:], style=_DIM) if self._is_thinking else window(rest, characters)

    def _spaced(self, done: Sequence[RenderableType]) -> tuple[list[RenderableType], bool]:
        """Give these with what is between them, and whether the next one is to stand apart."""
        spaced: list[RenderableType] = []
        is_apart = self._is_apart
        for each in done:
            spaced += [*_gap(is_apart), each]
            is_apart = isinstance(each, Block) and not each.is_rule
        return spaced, is_apart

    def _print(self, done: Sequence[RenderableType], view: RenderableType) -> None:
        live = self._started()
        self._view.content = view
        if done:
            self._console.print(Group(*done))  # and the view again, beneath
        else:
            live.refresh()

    def _started(self) -> Live:
        if self._live is None:
            live = Live(self._view, console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop")
            try:
                live.start()
            except LiveError as e:
                raise ConfigError(f"the console shows something live already ({e}): give RichHandler another") from e
            self._console.show_cursor(True)  # so that nothing is left to set back, whatever happens
            self._live = live
        return self._live

    def _stop(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()


class _View:
    """What is live, which changes."""

    content: RenderableType = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.content


def _gap(is_apart: bool) -> list[RenderableType]:
    return [Text("")] if is_apart else []
