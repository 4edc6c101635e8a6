"""Lists that show themselves: what is made of them shows itself too, where it holds the same."""

from __future__ import annotations

import copy
import operator
import pickle
from datetime import datetime, timezone
from typing import Any

import pytest

from langchain_redis_session import Event, Session, SessionKey, Summary, SummaryBoundary, TrackEvent
from langchain_redis_session._display import lists
from tests.unit.display.pages import read_page

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
SUMMARY = Summary("tea", "", SummaryBoundary(1.0, "e1", 1), NOON)
LISTS: list[Any] = [
    lists.EventList([Event(id=f"e{n}", time_ns=n) for n in range(5)]),
    lists.SessionList(
        [Session(SessionKey("a", "u", f"s{n}"), {}, [], (), NOON, NOON) for n in range(5)]
    ),
    lists.SummaryList([SUMMARY] * 5),
    lists.TrackEventList([TrackEvent("t", n, time_ns=n) for n in range(5)]),
]
every_list = pytest.mark.parametrize("shown", LISTS, ids=lambda shown: type(shown).__name__)


@every_list
def test_parts_sums_and_copies_of_a_list_show_themselves(shown: Any) -> None:
    plain = list(shown)
    for found, expected in (
        (shown[:2], plain[:2]),
        (shown[-2:], plain[-2:]),
        (shown[::-1], plain[::-1]),
        (shown[9:], []),
        (shown + shown[:1], plain + plain[:1]),
        (shown.copy(), plain),
        (copy.copy(shown), plain),
        (copy.deepcopy(shown), plain),
    ):
        assert type(found) is type(shown)
        assert found == expected
        assert found is not shown
        read_page(found._repr_html_())
    assert "2 " in read_page(shown[:2]._repr_html_()).text.partition("times in")[0]


@every_list
def test_what_may_hold_anything_is_a_plain_list(shown: Any) -> None:
    plain = list(shown)
    for found, expected in (
        (operator.add(shown, ["x"]), [*plain, "x"]),
        (operator.add(["x"], shown), ["x", *plain]),
        (sorted(shown, key=id), sorted(plain, key=id)),
        (pickle.loads(pickle.dumps(shown)), plain),
    ):
        assert type(found) is list
        assert found == expected


def test_one_of_a_list_is_itself_and_a_deep_copy_is_not() -> None:
    (events, *_) = LISTS
    assert events[1] is list(events)[1]
    assert events[-1].id == "e4"
    with pytest.raises(IndexError):
        events[5]
    copied = copy.deepcopy(events)
    assert copied[0] is not events[0]
    assert copied[0] == events[0]
