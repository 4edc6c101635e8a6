"""What a signal's handler raises in the middle of something, such as a worker's time limit.

It is the caller's, and no failure of what was under way. But a TimeoutError, as any OSError, is
for redis-py one of the socket's, and tried again.
"""

from __future__ import annotations

import signal
import threading
from functools import partial
from types import CodeType, TracebackType

_SIGNALS = tuple(map(int, signal.Signals))


def find_interruption(error: BaseException) -> BaseException | None:
    """Give what a signal's handler has raised, where an error is that, or was made of that.

    Of the errors behind it, only those count that redis-py has caught: others may be what a
    caller of ours is handling while it calls, which may stem from a signal, too.
    """
    if threading.current_thread() is not threading.main_thread():  # where handlers run
        return None
    found: BaseException | None = error
    codes: set[CodeType] | None = None
    while found is not None:
        trace = found.__traceback__
        if trace is not None and (found is error or _is_of_redis(trace)):
            codes = _list_handlers() if codes is None else codes
            if _passes(trace, codes):
                return found
        found = found.__context__
    return None


def _is_of_redis(trace: TracebackType) -> bool:
    """Whether it was redis-py that has caught what has this trace."""
    return str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0] == "redis"


def _passes(trace: TracebackType | None, codes: set[CodeType]) -> bool:
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False


def _list_handlers() -> set[CodeType]:
    """The code of all that handle a signal now."""
    codes = set()
    for handler in map(signal.getsignal, _SIGNALS):
        function: object = handler
        while isinstance(function, partial):
            function = function.func
        if callable(function) and not hasattr(function, "__code__"):
            function = type(function).__call__
        code = getattr(function, "__code__", None)
        if code is not None:
            codes.add(code)
    return codes
