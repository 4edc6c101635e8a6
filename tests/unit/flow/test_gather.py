"""Flows side by side: one round trip for what they ask for at the same time."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_redis_session._flow.gather import gather
from langchain_redis_session._flow.requests import (
    LARGE_BYTES,
    Call,
    Flow,
    Settle,
    compute,
)
from langchain_redis_session._flow.scripts import ScriptCall, ScriptMissingError
from langchain_redis_session.errors import (
    BackendUnavailableError,
    RedisSessionError,
    SessionNotFoundError,
)


def play(flow: Flow[Any], replies: list[Any]) -> tuple[list[Any], Any]:
    """Answer each request; give the requests and the result."""
    requests = [next(flow)]
    for reply in replies:
        try:
            is_error = isinstance(reply, Exception)
            requests.append(flow.throw(reply) if is_error else flow.send(reply))
        except StopIteration as stop:
            return requests, stop.value
    pytest.fail(f"it wants more: {requests[-1]}")


def ask(*commands: str) -> Flow[list[Any]]:
    """Ask one after the other."""
    replies = []
    for command in commands:
        replies.append((yield (command,)))
    return replies


def ask_together(*commands: str) -> Flow[Any]:
    return (yield [(command,) for command in commands])


def nothing() -> Flow[Any]:
    return "at once"
    yield


def recover(command: str) -> Flow[str]:
    try:
        yield (command,)
    except RedisSessionError as error:
        yield ("AGAIN",)
        return f"recovered from {error}"
    return "fine"


def test_no_flows_give_no_results() -> None:
    with pytest.raises(StopIteration) as caught:
        next(gather([]))
    assert caught.value.value == []


def test_flows_without_requests_end_at_once() -> None:
    with pytest.raises(StopIteration) as caught:
        next(gather([nothing(), nothing()]))
    assert caught.value.value == ["at once", "at once"]


def test_flows_of_different_length() -> None:
    flow = gather([ask("A1", "A2", "A3"), nothing(), ask("B1"), ask("C1", "C2")])
    requests, result = play(flow, [[1, 2, 3], [4, 5], [6]])
    assert requests == [[("A1",), ("B1",), ("C1",)], [("A2",), ("C2",)], [("A3",)]]
    assert result == [[1, 4, 6], "at once", [2], [3, 5]]


def test_batches_get_their_part_of_the_replies() -> None:
    error = RedisSessionError("no")
    flow = gather([ask_together("A", "B"), ask("C"), ask_together("D"), ask_together()])
    requests, result = play(flow, [[1, error, 3, None]])
    assert requests == [[("A",), ("B",), ("C",), ("D",)]]
    assert result == [[1, error], [3], [None], []]


def test_an_error_reaches_only_its_flow() -> None:
    error = SessionNotFoundError("gone")
    flow = gather([ask("A1", "A2"), ask("B1", "B2"), recover("C")])
    requests, result = play(flow, [[1, error, RedisSessionError("no")], [2, 3]])
    assert requests[1] == [("A2",), ("AGAIN",)]
    assert result == [[1, 2], error, "recovered from no"]


def test_an_error_of_the_whole_batch_reaches_every_flow() -> None:
    error = BackendUnavailableError("away")
    flow = gather([ask("A1", "A2"), recover("B"), ask_together("C", "D"), nothing()])
    requests, result = play(flow, [error, [1]])
    assert requests[1] == [("AGAIN",)]
    assert result == [error, "recovered from away", error, "at once"]


def test_scripts_that_are_missing_are_sent_in_one_round_trip() -> None:
    calls = [
        ScriptCall("find_event", [name], [], parse=lambda reply: f"parsed {reply}")
        for name in (b"a", b"b", b"c")
    ]
    flow = gather([iter(call) for call in calls])
    missing = ScriptMissingError("NOSCRIPT")
    requests, result = play(flow, [[missing, "B", missing], ["A", "C"]])
    assert [command[0] for command in requests[0]] == ["EVALSHA"] * 3
    assert [(command[0], command[3]) for command in requests[1]] == [("EVAL", b"a"), ("EVAL", b"c")]
    assert result == ["parsed A", "parsed B", "parsed C"]


def test_other_errors_are_not_caught() -> None:
    """They are ours to find."""

    def broken() -> Flow[None]:
        yield ("A",)
        raise ZeroDivisionError

    flow = gather([broken(), ask("B")])
    next(flow)
    with pytest.raises(ZeroDivisionError):
        flow.send([1, 2])


def test_only_commands_can_share_a_round_trip() -> None:
    def settle() -> Flow[None]:
        yield Settle(())

    with pytest.raises(AssertionError, match="round trip"):
        next(gather([ask("A"), settle()]))


def test_requests_of_nested_flows_go_out_together() -> None:
    flow = gather([gather([ask("A"), ask("B")]), ask("C")])
    requests, result = play(flow, [[1, 2, 3]])
    assert requests == [[("A",), ("B",), ("C",)]]
    assert result == [[[1], [2]], [3]]


def test_what_is_computed_goes_on_beside_the_requests_of_others() -> None:
    def count() -> Flow[int]:
        (entry,) = yield ("A",)
        return (yield from compute(lambda: len(entry), 10 * LARGE_BYTES))

    def fail() -> Flow[str]:
        yield ("B",)
        try:
            yield from compute(lambda: None, 10 * LARGE_BYTES)
        except ZeroDivisionError:
            return "caught"
        return "not thrown"

    flow = gather([count(), fail()])
    assert next(flow) == [("A",), ("B",)]
    call = flow.send([[b"abc"], 2])
    assert isinstance(call, Call)
    assert isinstance(flow.send(call.function()), Call)
    with pytest.raises(StopIteration) as caught:
        flow.throw(ZeroDivisionError())
    assert caught.value.value == [3, "caught"]
