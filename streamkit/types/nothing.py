"""NOTHING: the empty metadata that nearly every chunk has, one object for all of them."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["NOTHING"]


class _Nothing(dict[str, Any]):
    """An empty dict that stays empty: shared by chunks, which are frozen and so must be what they hold.

    A dict of its own for each chunk would be a quarter of its memory. (A mapping proxy cannot be pickled or copied.)
    """

    __slots__ = ()

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("the metadata of a chunk cannot be changed")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> str:
        return "NOTHING"

    def __copy__(self) -> _Nothing:
        return self

    def __deepcopy__(self, memo: object) -> _Nothing:
        return self


NOTHING = _Nothing()
"""No metadata."""
