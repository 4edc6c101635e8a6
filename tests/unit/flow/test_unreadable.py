"""Entries that can't be read: who answers the request to take note of them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from redis import exceptions as redis_errors

from langchain_redis_session import CorruptEventReport, SessionCallbackHandler, SessionKey
from langchain_redis_session._actions.observed import tell_of_unreadable
from langchain_redis_session._flow.advice import UNKNOWN
from langchain_redis_session._flow.counters import Counters
from langchain_redis_session._flow.drivers import arun, run
from langchain_redis_session._flow.exchange import Batch, to_commands
from langchain_redis_session._flow.gather import gather
from langchain_redis_session._flow.interception import intercept
from langchain_redis_session._flow.requests import Call, Command, Flow, Request, Unreadable
from langchain_redis_session._hooks.hooks import Hooks

KEY = SessionKey("shop", "ann", "s1")
ENTRIES = Unreadable(KEY, b"event:{shop}:ann:s1", count=2)
SUMMARY = Unreadable(None, b"sesssum:{shop}:ann", "a summary")


def drive(mode: str, flow: Flow[Any], counters: Counters) -> Any:
    if mode == "sync":
        return run(flow, None, counters=counters)
    return asyncio.run(arun(flow, None, counters=counters))


def reading(log: list[str]) -> Flow[str]:
    async def note() -> None:
        log.append("the next request")

    yield ENTRIES
    yield Call(lambda: log.append("the next request"), note)
    yield SUMMARY
    yield ENTRIES
    return "read"


class Reporter(SessionCallbackHandler):
    run_inline = True

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.reports: list[CorruptEventReport] = []

    def on_corrupt_event(self, report: CorruptEventReport) -> None:
        self.log.append(report.what)
        self.reports.append(report)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_the_driver_counts_each_entry_and_logs_each_key_once(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    counters = Counters()
    assert drive(mode, reading([]), counters) == "read"
    assert counters.corrupt_entries == 5
    assert counters.round_trips == 0
    first, second = (record.getMessage() for record in caplog.records)
    assert "an entry of event:{shop}:ann:s1" in first
    assert "a summary of sesssum:{shop}:ann" in second
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_hooks_hear_of_each_entry_before_the_flow_goes_on(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []
    counters, reporter = Counters(), Reporter(log)
    flow = tell_of_unreadable(Hooks([reporter], counters), reading(log))
    assert drive(mode, flow, counters) == "read"
    assert log == ["an entry"] * 2 + ["the next request", "a summary"] + ["an entry"] * 2
    assert reporter.reports[1:3] == [
        CorruptEventReport(KEY, "event:{shop}:ann:s1", "an entry"),
        CorruptEventReport(None, "sesssum:{shop}:ann", "a summary"),
    ]
    assert counters.corrupt_entries == 5
    assert len(caplog.records) == 2


def test_only_the_hooks_nearest_to_the_flow_hear_of_an_entry() -> None:
    counters, near, far = Counters(), Reporter([]), Reporter([])
    flow = tell_of_unreadable(Hooks([near], counters), reading([]))
    run(tell_of_unreadable(Hooks([far], counters), flow), None, counters=counters)
    assert (len(near.reports), len(far.reports)) == (5, 0)
    assert counters.corrupt_entries == 5


def test_flows_side_by_side_take_note_too_without_a_round_trip() -> None:
    def flow(number: int) -> Flow[int]:
        yield ENTRIES
        reply = yield ("PING", number)
        yield SUMMARY
        return int(reply)

    class Server:
        origin = UNKNOWN

        def send(self, command: Command, node: str = "") -> Any:
            raise AssertionError((command, node))

        def send_batch(self, batch: Batch) -> list[Any]:
            return [10 * int(number) for _, number in to_commands(batch)]

        def list_nodes(self) -> list[str]:
            return [""]

    counters = Counters()
    assert run(gather([flow(1), flow(2)]), Server(), counters=counters) == [10, 20]
    assert (counters.corrupt_entries, counters.round_trips) == (6, 1)


def test_what_an_answer_raises_is_raised_in_the_flow() -> None:
    error = redis_errors.RedisError("no")

    def flow() -> Flow[Exception]:
        with pytest.raises(redis_errors.RedisError) as caught:
            yield ("PING",)
        return caught.value

    def refuse(_request: Request) -> Flow[Any]:
        yield from ()
        raise error

    assert run(intercept(flow(), refuse), None) is error


def test_a_flow_within_ends_when_the_one_around_it_is_closed() -> None:
    ended: list[bool] = []

    def flow() -> Flow[None]:
        try:
            yield ("PING",)
        finally:
            ended.append(True)

    def pass_on(request: Request) -> Flow[Any]:
        return (yield request)

    inner = flow()  # held, so that nobody else ends it
    around = intercept(inner, pass_on)
    assert next(around) == ("PING",)
    around.close()
    assert ended == [True]
