"""How the jobs of one session are split into script calls, and what one that fails costs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from langchain_redis_session import RedisSessionError, SessionKey
from langchain_redis_session._background import jobs
from langchain_redis_session._background.jobs import Job, Outcome, write_jobs
from langchain_redis_session._flow.drivers import run
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.prepared import PreparedEvents
from langchain_redis_session.config import ServiceOptions
from langchain_redis_session.errors import BackendUnavailableError, SessionNotFoundError
from langchain_redis_session.scripts.bindings import Entry

KEY = SessionKey("shop", "ann", "s1")
Write = Callable[..., list[Outcome]]


class Server:
    """Takes the place of the append: what it refuses fails the whole call, as a script does."""

    def __init__(self, refused: dict[int, RedisSessionError]) -> None:
        self.refused = refused
        self.calls: list[list[int]] = []
        self.stored: list[int] = []

    def append(self, context: Context, key: SessionKey, prepared: PreparedEvents) -> Flow[None]:
        yield from ()
        numbers = [int(member[-8:]) for member in prepared.members]
        self.calls.append(numbers)
        for number in numbers:
            if number in self.refused:
                raise self.refused[number]
        self.stored += numbers


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch) -> Write:
    def write(
        server: Server, count: int, most_calls: int | None = None, size: int = 1
    ) -> list[Outcome]:
        monkeypatch.setattr(jobs, "append_prepared", server.append)
        found = [
            Job(KEY, PreparedEvents([], [Entry("1", b"%0*d" % (size, number))], {}))
            for number in range(count)
        ]
        return run(write_jobs(Context(ServiceOptions()), KEY, found, most_calls), None)

    return write


def numbers_of(outcome: Outcome) -> list[int]:
    return [int(job.write.members[0][-8:]) for job in outcome.jobs]


def test_what_can_not_be_written_is_found_in_few_calls(write: Write) -> None:
    """Else one would hold up all other sessions of its turn."""
    server = Server({137: RedisSessionError("poison")})
    outcomes = write(server, 400)
    assert server.stored == [number for number in range(400) if number != 137]
    assert len(server.calls) <= 1 + 2 * 9
    assert [numbers_of(outcome) for outcome in outcomes if outcome.error] == [[137]]
    assert [number for outcome in outcomes for number in numbers_of(outcome)] == [*range(400)]


def test_a_missing_session_costs_one_call(write: Write) -> None:
    server = Server(dict.fromkeys(range(400), SessionNotFoundError("none")))
    (outcome,) = write(server, 400)
    assert len(server.calls) == 1
    assert numbers_of(outcome) == [*range(400)]


def test_where_all_are_refused_a_turn_still_ends(write: Write) -> None:
    """What was not tried then is in no outcome, and comes in the next turn."""
    server = Server(dict.fromkeys(range(400), RedisSessionError("poison")))
    outcomes = write(server, 400, 32)
    assert len(server.calls) == 32
    found = [number for outcome in outcomes for number in numbers_of(outcome)]
    assert found == [*range(len(found))]
    assert 0 < len(found) < 400


def test_nothing_goes_on_behind_a_call_that_redis_was_not_there_for(write: Write) -> None:
    server = Server({600: BackendUnavailableError("away")})
    first, second = write(server, 1500)
    assert (first.error, numbers_of(first)) == (None, [*range(500)])
    assert isinstance(second.error, BackendUnavailableError)
    assert not second.is_final
    assert len(server.calls) == 2


def test_a_call_is_bounded_in_events_and_in_bytes(write: Write) -> None:
    write(server := Server({}), 1200)
    assert [len(call) for call in server.calls] == [500, 500, 200]
    write(server := Server({}), 9, None, 1_000_000)
    assert [len(call) for call in server.calls] == [4, 4, 1]
