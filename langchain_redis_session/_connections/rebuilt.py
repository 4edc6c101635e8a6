"""Copies and pickles of what holds connections: it is made again, and connects anew."""

from __future__ import annotations

from typing import Any, TypeVar

from typing_extensions import Self

from langchain_redis_session.errors import ConfigurationError

T = TypeVar("T")
_CLIENTS = ("client", "async_client", "redis_client")


class Rebuilt:
    """Is copied and pickled as the arguments that it was made with.

    A copy in this process has the same functions and clients as the original. A pickle takes
    along what can be pickled; Python's error names what can't.
    """

    _made_of: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        self = super().__new__(cls)
        self._made_of = arguments, options
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        _, options = self._made_of
        for name in _CLIENTS:
            if options.get(name) is not None:
                raise ConfigurationError(
                    f"{type(self).__name__} can't be pickled with {name}=, whose connections "
                    "belong to this process; make it of a URL, or anew where it is needed"
                )
        return _rebuild, (type(self), *self._made_of)

    def __copy__(self) -> Self:
        return _rebuild(type(self), *self._made_of)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()


def _rebuild(cls: type[T], arguments: tuple[Any, ...], options: dict[str, Any]) -> T:
    return cls(*arguments, **options)
