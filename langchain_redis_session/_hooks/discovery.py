"""Which hooks there are, and which of them a handler has."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal, TypeAlias, get_args

from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    BaseCallbackManager,
)

from langchain_redis_session.callbacks import (
    AsyncSessionCallbackHandler,
    Handlers,
    SessionCallbackHandler,
)
from langchain_redis_session.config import find_misfit
from langchain_redis_session.errors import ConfigurationError, shorten, suggest

Operation: TypeAlias = Literal["append_event", "get_session", "create_summary"]
"""What hooks take part in, by its name in `_observe.operations`."""
_OPERATIONS: tuple[Operation, ...] = get_args(Operation)
STAGES = ("start", "end", "error")
_NAMES = [
    *(f"on_{operation}_{stage}" for operation in _OPERATIONS for stage in STAGES),
    "on_persist_error",
    "on_corrupt_event",
]


_EMPTY = {
    id(method)
    for method in (
        *(getattr(SessionCallbackHandler, name) for name in _NAMES),
        *(getattr(AsyncSessionCallbackHandler, name) for name in _NAMES),
        BaseCallbackHandler.on_custom_event,
        AsyncCallbackHandler.on_custom_event,
    )
}


_ALL_NAMES = frozenset((*_NAMES, "on_custom_event"))
_PERSIST = "on_persist_error"
_PREFIXES = ("on_append_", "on_get_", "on_summary_", "on_create_", "on_persist_", "on_corrupt_")
"""What is ours alone: LangChain's own hooks begin otherwise."""


@lru_cache(maxsize=512)
def _find_methods(cls: type) -> dict[str, bool]:
    """The methods of a class that do something, and whether they are async."""
    return {
        name: inspect.iscoroutinefunction(method)
        for name in _ALL_NAMES
        if (method := getattr(cls, name, None)) is not None and id(method) not in _EMPTY
    }


def find_own_methods(handler: BaseCallbackHandler) -> dict[str, bool]:
    """Likewise of an object, which may have some that its class has not."""
    cls: Any = type(handler)
    methods = _find_methods(cls)
    own = _ALL_NAMES & vars(handler).keys() if hasattr(handler, "__dict__") else ()
    if own:
        methods = {
            **methods,
            **{name: inspect.iscoroutinefunction(getattr(handler, name)) for name in own},
        }
    return methods


def list_handlers(callbacks: Handlers) -> list[BaseCallbackHandler]:
    """The handlers that `callbacks=` names.

    Raises:
        ConfigurationError: It is something else.
    """
    if callbacks is None:
        return []
    if isinstance(callbacks, BaseCallbackManager):
        return _check(callbacks.handlers)
    if isinstance(callbacks, (list, tuple)) and all(
        isinstance(handler, BaseCallbackHandler) for handler in callbacks
    ):
        return _check(callbacks)
    wrong: Any = callbacks
    if isinstance(callbacks, (list, tuple)):
        wrong = next(h for h in callbacks if not isinstance(h, BaseCallbackHandler))
    raise ConfigurationError(
        "callbacks must be a list of callback handlers, objects of a class of yours below "
        f"SessionCallbackHandler, not {_tell_wrong(wrong)}"
    )


def _tell_wrong(wrong: Any) -> str:
    if isinstance(wrong, type):
        return f"the class {wrong.__name__}; give an object: [{wrong.__name__}()]"
    if isinstance(wrong, BaseCallbackHandler):
        return f"a {type(wrong).__name__} alone; put it into a list"
    advice = "; make it a method of such a class, like on_append_event_start"
    return shorten(wrong) + (advice if callable(wrong) else "")


def _check(handlers: Iterable[BaseCallbackHandler]) -> list[BaseCallbackHandler]:
    """Refuse hooks that would never be called, or not as they are written."""
    handlers = list(handlers)
    for handler in handlers:
        cls: Any = type(handler)
        fault = _find_fault(cls)
        own = vars(handler) if hasattr(handler, "__dict__") else {}
        for name in () if fault else own:
            fault = fault or _find_misspelling(name) or _find_misfit(name, own[name])
        if fault:
            raise ConfigurationError(f"{cls.__name__}.{fault}")
    return handlers


@lru_cache(maxsize=512)
def _find_fault(cls: type) -> str:
    for name in dir(cls):
        if name.startswith("on_") and (fault := _find_misspelling(name)):
            return fault
    for name in _find_methods(cls):
        # Of an instance, as it is called: `self` is bound, and a static method takes none.
        if name != "on_custom_event" and (fault := _find_misfit(name, getattr(cls, name), cls)):
            return fault
    return ""


def _find_misspelling(name: str) -> str:
    if name in _ALL_NAMES or not name.startswith(_PREFIXES):
        return ""
    advice = suggest(name, _NAMES) or f"; the hooks are: {', '.join(_NAMES)}"
    return f"{name} is no hook, and would never be called{advice}"


def _find_misfit(name: str, method: Any, cls: type | None = None) -> str:
    if name not in _NAMES:
        return ""
    if not callable(method):
        return f"{name} is called, and is no function: {shorten(method)}"
    wanted = ("context", "error") if name.endswith("_error") and name != _PERSIST else ("context",)
    is_bound = cls is not None and inspect.isfunction(inspect.getattr_static(cls, name))
    misfit = find_misfit(method, is_bound + len(wanted))
    return misfit and (
        f"{name} is called with ({', '.join(wanted)}), which it can't take: its "
        f"parameters are {misfit}; write def {name}({', '.join(['self', *wanted])})"
    )
