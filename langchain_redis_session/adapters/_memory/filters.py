"""Filters of items, and conditions on namespaces, as LangGraph's stores have them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_redis_session.errors import ConfigurationError, shorten

_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_OPERATORS = ("$eq", "$ne", *_ORDERS)

_WILDCARD = "*"


def check_filter(wanted: object) -> Mapping[str, Any]:
    """Refuse a filter that can't be used.

    Raises:
        ConfigurationError: It is no dict, has an operator that is none, or compares with what is
            no number.
    """
    if not isinstance(wanted, Mapping):
        raise ConfigurationError(f"filter must be a dict, not {shorten(wanted)}")
    for value in wanted.values():
        _check_value(value)
    return wanted


def _check_value(wanted: Any) -> None:
    if isinstance(wanted, (list, tuple)):
        for item in wanted:
            _check_value(item)
    if not isinstance(wanted, Mapping):
        return
    if not _has_operators(wanted):
        check_filter(wanted)
        return
    for name, value in wanted.items():
        if name not in _OPERATORS:
            raise ConfigurationError(
                f"filter: there is no operator {name!r}; there are {', '.join(_OPERATORS)}"
            )
        if name in _ORDERS and _to_number(value) is None:
            raise ConfigurationError(f"filter: {name} needs a number, not {shorten(value)}")


def _has_operators(wanted: Mapping[str, Any]) -> bool:
    return any(str(name).startswith("$") for name in wanted)


def _to_number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def matches(value: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an item's value is what a filter wants.

    What is not there counts as None, and what is no number is neither more nor less than one.

    >>> matches({"n": 5, "who": {"name": "Ann"}}, {"n": {"$gt": 4}, "who": {"name": "Ann"}})
    True
    """
    return all(_is_wanted(value.get(name), one) for name, one in wanted.items())


def _is_wanted(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        if _has_operators(wanted):
            return all(_compare(value, name, one) for name, one in wanted.items())
        return isinstance(value, Mapping) and matches(value, wanted)
    if isinstance(wanted, (list, tuple)):
        return (
            isinstance(value, (list, tuple))
            and len(value) == len(wanted)
            and all(map(_is_wanted, value, wanted))
        )
    return bool(value == wanted)


def _compare(value: Any, name: str, wanted: Any) -> bool:
    if name == "$eq":
        return bool(value == wanted)
    if name == "$ne":
        return bool(value != wanted)
    one, other = _to_number(value), _to_number(wanted)
    return one is not None and other is not None and _ORDERS[name](one, other)


def matches_path(kind: str, path: Sequence[str], namespace: Sequence[str]) -> bool:
    """Whether a namespace begins, or ends, with a path, in which `*` is any label.

    Raises:
        ConfigurationError: The kind is neither "prefix" nor "suffix".

    >>> matches_path("suffix", ("*", "v1"), ("docs", "ann", "v1"))
    True
    """
    if kind not in ("prefix", "suffix"):
        raise ConfigurationError(f"match_type must be 'prefix' or 'suffix', not {shorten(kind)}")
    if len(namespace) < len(path):
        return False
    part = namespace[: len(path)] if kind == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in (_WILDCARD, label) for wanted, label in zip(path, part, strict=True))


def fixed_start(path: Sequence[str]) -> tuple[str, ...]:
    """The labels of a path before its first wildcard.

    >>> fixed_start(("docs", "*", "v1"))
    ('docs',)
    """
    end = path.index(_WILDCARD) if _WILDCARD in path else len(path)
    return tuple(path[:end])
