"""Secret: a key that does not print itself."""

from __future__ import annotations

from typing import NoReturn

from streamkit.errors import ConfigError

__all__ = ["Secret"]


class Secret:
    """A key, header value or token whose str, repr, format and log form is `[REDACTED]`.

    White space around the value is stripped (a trailing line break is the commonest paste error). What no HTTP
    header can carry raises `ConfigError` here, because requests and http.client would put the whole value into
    their own message. Pickling is refused: a key does not travel to other processes.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | Secret) -> None:
        text = value.expose() if isinstance(value, Secret) else value
        problem = _problem(text)
        if problem is not None:
            del value, text  # crash reporters print the variables of the frames that an error passed through
            raise ConfigError(problem)
        self._value = text.strip()

    def expose(self) -> str:
        """Give the value itself; for the transport only."""
        return self._value

    def redact(self, text: str) -> str:
        """Give `text` without the key (of "Bearer sk-…" the last word).

        One under eight characters is left in: it is no key, but a word such as "test".
        """
        key = self._value.rpartition(" ")[2]
        return text.replace(key, "[REDACTED]") if len(key) >= 8 else text

    def __bool__(self) -> bool:
        return bool(self._value)

    def __str__(self) -> str:
        return "[REDACTED]"

    def __repr__(self) -> str:
        return "Secret([REDACTED])"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __reduce__(self) -> NoReturn:
        raise ConfigError("a Secret cannot be pickled: look the key up again where it is needed")


def _problem(text: object) -> str | None:
    if not isinstance(text, str):
        return f"a key must be a str, not {type(text).__name__}"
    text = text.strip()
    if any(c < " " or c == "\x7f" for c in text):
        return "the key contains a control character (a line break?): check where it was pasted from"
    if any(c > "\xff" for c in text):
        return "the key contains a character that no HTTP header can carry: check it"
    return None
