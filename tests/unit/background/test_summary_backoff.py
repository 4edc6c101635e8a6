"""How long a session whose summary has failed is left alone."""

from __future__ import annotations

from langchain_redis_session import SessionKey
from langchain_redis_session._background import summary_backoff
from langchain_redis_session._background.summary_backoff import Backoff
from langchain_redis_session._operations.summaries import SummaryTask

KEY = SessionKey("shop", "ann", "s1")
TASK = SummaryTask(KEY)


def test_each_failure_makes_the_next_try_wait_longer_up_to_a_bound() -> None:
    now = [0.0]
    backoff = Backoff(lambda: now[0])
    waits = []
    for _ in range(40):
        assert not backoff.holds(TASK)
        waits.append(backoff.note_failure(TASK))
        assert backoff.holds(TASK)
        now[0] += waits[-1] - 0.1
        assert backoff.holds(TASK)
        now[0] += 0.2
    assert waits[:4] == [5, 10, 20, 40]
    assert waits == sorted(waits)
    assert waits[-1] == 600


def test_others_and_forced_ones_go_on_and_a_summary_ends_it() -> None:
    backoff = Backoff(lambda: 0.0)
    backoff.note_failure(TASK)
    assert not backoff.holds(SummaryTask(KEY, force=True))
    assert not backoff.holds(SummaryTask(KEY, "agent"))
    assert not backoff.holds(SummaryTask(SessionKey("shop", "bob", "s1")))
    backoff.note_failure(TASK)
    backoff.forget(TASK)
    assert not backoff.holds(TASK)
    assert backoff.note_failure(TASK) == summary_backoff.FIRST_WAIT_S


def test_not_every_session_is_remembered_for_ever() -> None:
    backoff = Backoff(lambda: 0.0)
    backoff.note_failure(TASK)
    for number in range(10_000):
        backoff.note_failure(SummaryTask(SessionKey("shop", "ann", f"other{number}")))
    assert not backoff.holds(TASK)
