"""What models used is added up once for each stored message, and limited by budgets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_redis_session import (
    BudgetExceededError,
    ConfigurationError,
    EventRejectedError,
    RedisSessionService,
    SessionKey,
    Usage,
    UsageBudget,
)
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.intercept import intercept
from tests.contract.narrow import each_server, one_mode, one_server, server_kinds
from tests.contract.store import NOON, Clock, make_event

DAY_NS = 86_400 * 10**9


def answer(total: int, model: str = "m:1", **members: Any) -> AIMessage:
    return AIMessage(
        "hi",
        usage_metadata={
            "input_tokens": total - 2,
            "output_tokens": 2,
            "total_tokens": total,
            "input_token_details": {"cache_read": 1},
            "output_token_details": {"reasoning": 1},
        },
        response_metadata={"model_name": model},
        **members,
    )


TURN: list[BaseMessage] = [HumanMessage("x"), answer(10), ToolMessage("y", tool_call_id="c")]


@each_server
async def test_usage_is_added_up_by_day_and_model(
    make_verbs: Callable[..., Verbs], clock: Clock, key: SessionKey
) -> None:
    verbs = make_verbs(track_usage=True)
    clock.stop_at(NOON)
    await verbs.append_messages(key, [*TURN, answer(100, "other")], create=True)
    clock.stop_at(NOON + DAY_NS)
    other = SessionKey("shop", "ann", "s2")
    await verbs.append_messages(other, [answer(1000), AIMessage("told nothing")], create=True)

    today = datetime.fromtimestamp(NOON // 10**9, timezone.utc).date()
    usage = await verbs.get_usage("shop", "ann")
    assert (usage.messages, usage.input, usage.output, usage.total) == (4, 1104, 6, 1110)
    assert (usage.cached, usage.reasoning) == (3, 3)
    models = {name: (part.messages, part.total) for name, part in usage.by_model.items()}
    assert models == {"m:1": (2, 1010), "other": (1, 100), "": (1, 0)}
    days = {name: part.total for name, part in usage.by_day.items()}
    tomorrow = today + timedelta(days=1)
    assert days == {today.isoformat(): 110, tomorrow.isoformat(): 1000}
    assert usage.by_day[today.isoformat()].by_model["other"].total == 100

    for since, until, total in (
        (None, today, 110),
        (tomorrow, None, 1000),
        (today, tomorrow, 1110),
        (tomorrow, today, 0),
        (datetime.combine(tomorrow, datetime.min.time(), timezone.utc), None, 1000),
        (date.min, date.max, 1110),
    ):
        found = await verbs.get_usage("shop", "ann", since=since, until=until)
        assert found.total == total
    assert (await verbs.get_session_usage(key)).total == 110
    assert (await verbs.get_session_usage(other)).by_model.keys() == {"m:1", ""}
    assert await verbs.get_usage("shop", "bob") == Usage()


@each_server
async def test_a_message_is_counted_once_however_often_it_is_sent(
    backend: Backend, make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    verbs, _ = intercept(backend, make_verbs, times=2, track_usage=True)
    await verbs.create_session(*key.scope)
    events = [make_event(number, answer(10, id=f"a{number}")) for number in range(3)]
    await verbs.append_events(key, events[:2])
    await verbs.append_events(key, events)
    await verbs.append_event(key, events[0])
    await verbs.append_messages(key, [event.message for event in events], once=True)
    usage = await verbs.get_usage("shop", "ann")
    assert (usage.messages, usage.total) == (3, 30)
    assert (await verbs.get_session_usage(key)).total == 30


@each_server
async def test_retention_and_state_do_not_change_what_was_counted(
    make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    verbs = make_verbs(track_usage=True, session_event_limit=1)
    for number in range(3):
        delta = {"k": number, "user:k": 1, "app:k": 1}
        await verbs.append_messages(key, [answer(10)], create=True, state_delta=delta)
    await verbs.clear_events(key)
    assert (await verbs.get_session_usage(key)).total == 30


@each_server
async def test_a_sessions_usage_goes_with_it_and_the_users_with_the_user(
    make_verbs: Callable[..., Verbs], redis_probe: RedisProbe, key: SessionKey
) -> None:
    verbs = make_verbs(track_usage=True, session_ttl=3600)
    await verbs.append_messages(key, TURN, create=True)
    ttls = {name.partition(":")[0]: ttl for name, ttl in redis_probe.ttls().items()}
    assert ttls["usage"] == -1
    assert 0 < ttls["sessusage"] <= 3_600_000
    await verbs.delete_session(key)
    assert await verbs.get_session_usage(key) == Usage()
    assert (await verbs.get_usage("shop", "ann")).total == 10
    await verbs.delete_user("shop", "ann")
    assert redis_probe.names() == []


@one_server
async def test_without_track_usage_no_key_of_it_is_there_or_asked_for(
    backend: Backend, make_verbs: Callable[..., Verbs], redis_probe: RedisProbe, key: SessionKey
) -> None:
    verbs, seen = intercept(backend, make_verbs)
    await verbs.append_messages(key, TURN, create=True)
    assert not redis_probe.names("*usage*")
    assert not any(b"usage" in bytes(str(part), "utf-8") for part in seen.requests[-1][0][2:10])


@one_server
async def test_what_is_in_the_way_of_counting_does_not_stop_an_append(
    make_verbs: Callable[..., Verbs], redis_probe: RedisProbe, clock: Clock, key: SessionKey
) -> None:
    verbs = make_verbs(track_usage=True)
    clock.stop_at(NOON)
    await verbs.append_messages(key, [answer(10)], create=True)
    name = redis_probe.key("sessusage:{shop}:ann:s1")
    redis_probe.hset(name, mapping={"total:m:1": "text", "input:m:1": str(2**63 - 1), "x": "1"})
    await verbs.append_messages(key, [answer(10)])
    assert len(await verbs.get_messages(key)) == 2
    usage = await verbs.get_session_usage(key)
    assert (usage.messages, usage.total, usage.input) == (2, 0, 2**63 - 1)


@one_server
@pytest.mark.parametrize(
    "usage", [None, {}, {"total_tokens": "x"}, {"total_tokens": -1}, {"total_tokens": 2**60}]
)
async def test_numbers_that_are_none_are_not_counted(
    make_verbs: Callable[..., Verbs], key: SessionKey, usage: Any
) -> None:
    verbs = make_verbs(track_usage=True)
    message = AIMessage("x", response_metadata={"model_name": "\ud800" + "m" * 500})
    message.usage_metadata = usage
    await verbs.append_messages(key, [message], create=True)
    found = await verbs.get_session_usage(key)
    assert (found.messages, found.total) == (1, 0)
    assert [*found.by_model] == ["?" + "m" * 199]


@one_server
@one_mode
async def test_many_writers_with_write_behind_and_retries_add_up_exactly(
    backend: Backend, make_verbs: Callable[..., Verbs], key_prefix: str, key: SessionKey
) -> None:
    verbs = make_verbs(track_usage=True)
    services = [
        RedisSessionService(
            client=backend.client,
            key_prefix=key_prefix,
            track_usage=True,
            enable_async_persist=True,
        )
        for _ in range(4)
    ]

    def write(service: RedisSessionService, number: int) -> None:
        for place in range(20):
            event = make_event(1000 * number + place, answer(10))
            service.append_event(key, event)
            service.append_event(key, event)

    await verbs.create_session(*key.scope)
    threads = [
        threading.Thread(target=write, args=(service, number))
        for number, service in enumerate(services)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join, 60)
    for service in services:
        assert await asyncio.to_thread(service.flush, 60)
        service.close()
    assert (await verbs.get_usage("shop", "ann")).total == 800
    assert (await verbs.get_session_usage(key)).messages == 80


@server_kinds
@pytest.mark.parametrize("per", ["day", "session"])
async def test_a_budget_refuses_the_next_message_of_the_user(
    make_verbs: Callable[..., Verbs], clock: Clock, key: SessionKey, per: Any
) -> None:
    verbs = make_verbs(track_usage=True, callbacks=[UsageBudget(20, per=per)])
    clock.stop_at(NOON)
    await verbs.append_messages(key, TURN, create=True)
    await verbs.append_messages(key, TURN)
    with pytest.raises(BudgetExceededError, match="20 of 20 total tokens") as caught:
        await verbs.append_messages(key, TURN)
    assert isinstance(caught.value, EventRejectedError)
    assert len(await verbs.get_messages(key)) == 6
    assert verbs.service.stats().hook_vetoes == 1
    await verbs.append_messages(key, [answer(10)])  # which is paid for
    other = SessionKey("shop", "ann", "s2")
    if per == "session":
        await verbs.append_messages(other, TURN, create=True)
    else:
        with pytest.raises(BudgetExceededError):
            await verbs.append_messages(other, TURN, create=True)
        await verbs.append_messages(SessionKey("shop", "bob", "s1"), TURN, create=True)
        clock.stop_at(NOON + DAY_NS)
        await verbs.append_messages(key, TURN)


@one_server
async def test_a_budget_may_be_of_one_kind_and_model(
    make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    verbs = make_verbs(track_usage=True)
    await verbs.append_messages(key, [answer(10), answer(10, "dear")], create=True)
    for budget, is_used_up in (
        (UsageBudget(3, kind="output", model="dear"), False),
        (UsageBudget(2, kind="output", model="dear"), True),
        (UsageBudget(0, model="unused"), True),
        (UsageBudget(2, kind="messages", per="session"), True),
        (UsageBudget(3, kind="messages"), False),
    ):
        if is_used_up:
            with pytest.raises(BudgetExceededError):
                await verbs.append_messages(key, [HumanMessage("x")], callbacks=[budget])
        else:
            await verbs.append_messages(key, [HumanMessage("x")], callbacks=[budget])


@one_server
async def test_a_budget_where_nobody_counts_is_an_error(verbs: Verbs, key: SessionKey) -> None:
    await verbs.create_session(*key.scope)
    with pytest.raises(ConfigurationError, match="track_usage=True"):
        await verbs.append_messages(key, TURN, callbacks=[UsageBudget(5)])
    assert await verbs.get_messages(key) == []
