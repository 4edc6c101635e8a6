"""What is appended to a session, as it comes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import blockbuster
import pytest
from langchain_core.messages import HumanMessage
from redis.backoff import NoBackoff
from redis.retry import Retry

from langchain_redis_session import (
    BackendUnavailableError,
    ConfigurationError,
    Event,
    GetSessionContext,
    InvalidSessionKeyError,
    RedisSessionService,
    SessionCallbackHandler,
    SessionKey,
    SessionServiceClosedError,
)
from tests.processes import call_in_processes
from tests.proxy import CuttingProxy
from tests.servers import RedisServer

QUICK: dict[str, Any] = {"poll_s": 0.01}


@pytest.fixture
def key() -> SessionKey:
    return SessionKey("follow", "ann", uuid4().hex)


@pytest.fixture
def service(redis_url: str, key_prefix: str) -> Iterator[RedisSessionService]:
    with RedisSessionService(redis_url, key_prefix=key_prefix) as service:
        yield service


def append(service: RedisSessionService, key: SessionKey, *texts: str) -> list[Event]:
    messages = [HumanMessage(text) for text in texts]
    return service.append_messages(key, messages, create=True).events


def text_of(event: Event) -> str:
    assert event.message is not None
    return event.message.text


async def take(events: AsyncIterator[Event] | Iterator[Event], count: int) -> list[str]:
    if isinstance(events, AsyncIterator):
        return [text_of(await anext(events)) for _ in range(count)]
    return await asyncio.to_thread(lambda: [text_of(next(events)) for _ in range(count)])


def follow(
    mode: str, service: RedisSessionService, *arguments: Any, **options: Any
) -> AsyncIterator[Event] | Iterator[Event]:
    method: Any = service.follow if mode == "sync" else service.afollow
    return method(*arguments, **QUICK, **options)  # type: ignore[no-any-return]


both_modes = pytest.mark.parametrize("mode", ["sync", "async"])


@both_modes
async def test_each_event_behind_a_score_comes_once(
    mode: str, service: RedisSessionService, key: SessionKey
) -> None:
    first, *_ = append(service, key, "one", "two", "three")
    events = follow(mode, service, key, first.score)
    assert await take(events, 2) == ["two", "three"]
    await asyncio.to_thread(append, service, key, "four", "five")
    assert await take(events, 2) == ["four", "five"]
    await asyncio.to_thread(append, service, key, "six")
    assert await take(events, 1) == ["six"]


@both_modes
async def test_a_session_that_is_made_later_is_followed_from_its_first_event(
    mode: str, service: RedisSessionService, key: SessionKey
) -> None:
    events = follow(mode, service, key, 0)
    reading = asyncio.ensure_future(take(events, 2))
    await asyncio.to_thread(append, service, key, "one", "two")
    assert await reading == ["one", "two"]


@both_modes
async def test_without_a_score_only_what_is_new_comes(
    mode: str, service: RedisSessionService, key: SessionKey
) -> None:
    append(service, key, "old")
    looked = threading.Event()

    class Noting(SessionCallbackHandler):
        def on_get_session_end(self, context: GetSessionContext) -> None:
            looked.set()

    events = follow(mode, service, key, callbacks=[Noting()])
    reading = asyncio.ensure_future(take(events, 1))
    assert await asyncio.to_thread(looked.wait, 60)
    await asyncio.to_thread(append, service, key, "new")
    assert await reading == ["new"]


def append_in_process(url: str, prefix: str, scope: tuple[str, str, str]) -> None:
    with RedisSessionService(url, key_prefix=prefix) as service:
        append(service, SessionKey(*scope), "from afar")


def test_what_another_process_appends_comes_too(
    redis_server: RedisServer, key: SessionKey, key_prefix: str
) -> None:
    with RedisSessionService(redis_server.url, key_prefix=key_prefix) as service:
        append(service, key, "here")
        events = service.follow(key, 0, **QUICK)
        assert text_of(next(events)) == "here"
        call_in_processes(append_in_process, [(redis_server.url, key_prefix, key.scope)])
        assert text_of(next(events)) == "from afar"
        service.delete_session(key)


def test_no_connection_is_held_between_two_looks(
    redis_server: RedisServer, key: SessionKey, key_prefix: str
) -> None:
    with (
        redis_server.client(max_connections=1) as client,
        RedisSessionService(client=client, key_prefix=key_prefix) as service,
    ):
        append(service, key, "one", "two")
        followers = [service.follow(key, 0, **QUICK) for _ in range(5)]
        assert [text_of(next(events)) for events in followers] == ["one"] * 5
        assert service.count_events(key) == 2
        service.delete_session(key)


async def test_a_follower_does_not_hold_up_the_loop(
    redis_server: RedisServer, key: SessionKey, key_prefix: str
) -> None:
    async with RedisSessionService(redis_server.url, key_prefix=key_prefix) as service:
        await service.aappend_messages(key, [HumanMessage("one")], create=True)
        with blockbuster.blockbuster_ctx("langchain_redis_session"):
            events = service.afollow(key, 0, **QUICK)
            assert await take(events, 1) == ["one"]
            await service.aappend_messages(key, [HumanMessage("two")])
            assert await take(events, 1) == ["two"]
        await service.adelete_session(key)


def test_what_a_hook_hides_is_hidden_from_followers(
    service: RedisSessionService, key: SessionKey
) -> None:
    class Hiding(SessionCallbackHandler):
        def on_get_session_end(self, context: GetSessionContext) -> None:
            for event in context.session.events if context.session else ():
                event.message = HumanMessage("hidden")

    append(service, key, "my number is 1234")
    assert text_of(next(service.follow(key, 0, callbacks=[Hiding()]))) == "hidden"


def test_a_follower_ends_with_the_service_and_with_redis(key: SessionKey) -> None:
    service = RedisSessionService("memory://follow-closed")
    events = service.follow(key, **QUICK)
    service.close()
    with pytest.raises(SessionServiceClosedError):
        next(events)
    nobody = RedisSessionService("redis://127.0.0.1:1", extra_options={"retry": None})
    with pytest.raises(BackendUnavailableError):
        next(nobody.follow(key, **QUICK))


@both_modes
async def test_a_redis_that_goes_away_meanwhile_is_an_error_and_following_goes_on_behind_it(
    mode: str, redis_server: RedisServer, key: SessionKey, cutting_proxy: CuttingProxy
) -> None:
    once = {"retry": Retry(NoBackoff(), 0)}
    async with (
        RedisSessionService(redis_server.url, key_prefix=key.session_id) as service,
        RedisSessionService(
            cutting_proxy.url, key_prefix=key.session_id, extra_options=once
        ) as through,
    ):
        (first,) = append(service, key, "one")
        events = follow(mode, through, key, 0)
        assert await take(events, 1) == ["one"]
        cutting_proxy.refuse()
        with pytest.raises(BackendUnavailableError):
            await take(events, 1)
        cutting_proxy.accept()
        append(service, key, "two")
        assert await take(follow(mode, through, key, first.score), 1) == ["two"]


@pytest.mark.parametrize("name", ["follow", "afollow"])
def test_wrong_arguments_are_refused_before_the_first_look(name: str, key: SessionKey) -> None:
    method = getattr(RedisSessionService("memory://follow-wrong"), name)
    for poll_s in (0, -1, "1", None, True, float("inf"), float("nan")):
        with pytest.raises(ConfigurationError, match="poll_s must be a number of seconds above 0"):
            method(key, poll_s=poll_s)
    for after in ("now", 5, float("nan"), [1]):
        with pytest.raises(ConfigurationError, match="after"):
            method(key, after)
    with pytest.raises(InvalidSessionKeyError, match="key must be a SessionKey"):
        method("s1")
