"""What a signal's handler raises while messages are read or written the short way comes out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_redis_session._codec.event_glance import read_message_id
from langchain_redis_session._codec.events import decode_event, encode_event
from langchain_redis_session._codec.usual_events import read_messages
from langchain_redis_session._codec.usual_messages import write_usual
from langchain_redis_session.models import Event
from tests.realistic import make_openai_answer
from tests.waits import PATIENCE_S


class Alarms:
    """Raises an error at the nth line of the codec that is run, as a signal's handler may."""

    def __init__(self, error: type[Exception], line: int) -> None:
        self.error, self.left = error, line

    def __enter__(self) -> None:
        self.before = sys.gettrace()
        sys.settrace(self.trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self.before)

    def trace(self, frame: FrameType, event: str, _argument: Any) -> Any:
        is_codec = "._codec." in frame.f_globals.get("__name__", "")
        if not is_codec or frame.f_code.co_name == "write_time":  # whatever fails there is told
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise self.error("a handler's")
        return self.trace


TEXT = encode_event(Event(HumanMessage("hi"), "user"))
ANSWER = encode_event(Event(make_openai_answer(1), "assistant"))
STATE = encode_event(Event(None, "user", state_delta={"k": 1}))


def read_page() -> Any:
    return read_messages([TEXT, ANSWER])


def read_odd_page() -> Any:
    return read_messages([TEXT, STATE])


def read_event() -> Any:
    return decode_event(ANSWER).message


def find_id() -> Any:
    return read_message_id(STATE)


def write_message() -> Any:
    return write_usual(make_openai_answer(1))


def write_odd_message() -> Any:
    return write_usual(AIMessage("hi", response_metadata={"at": (1, 2)}))


def write_odd_event() -> Any:
    return encode_event(Event(HumanMessage("hi \ud800"), "user", id="e1", time_ns=0))


@pytest.mark.parametrize(
    ("work", "kind"),
    [
        (read_page, KeyError),
        (read_odd_page, AttributeError),
        (read_event, KeyError),
        (find_id, AttributeError),
        (write_message, KeyError),
        (write_odd_message, TypeError),
        (write_odd_event, TypeError),
    ],
)
def test_a_handlers_error_comes_out_wherever_it_lands(
    work: Callable[[], Any], kind: type[Exception]
) -> None:
    # A trace function that raises while an error is handled can leave that error to its thread.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_interrupt_every_line, work, kind).result(PATIENCE_S)


def _interrupt_every_line(work: Callable[[], Any], kind: type[Exception]) -> None:
    class TimeLimit(kind):  # type: ignore[misc, valid-type]
        pass

    whole = work()
    for line in range(1, 2000):
        alarms = Alarms(TimeLimit, line)
        try:
            with alarms:
                done = work()
        except TimeLimit:
            continue
        assert alarms.left > 0, f"swallowed at line {line}"
        assert done == whole
        return
    pytest.fail("it has no end")
