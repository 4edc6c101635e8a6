"""What type checkers make of the other public classes: of what has methods of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any

import redis
from fastapi import APIRouter, Depends, FastAPI
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.store.base import Result
from typing_extensions import assert_type

from langchain_redis_session import (
    AppendEventContext,
    AsyncTrackCallbackHandler,
    Event,
    RedisSessionChatMessageHistory,
    RedisSessionMemory,
    RedisSessionMemoryStore,
    RedisSessionService,
    RedisSessionStore,
    Run,
    RunTree,
    Session,
    SessionKey,
    SessionSummarizer,
    SummaryRequest,
    TrackCallbackHandler,
    TrackEvent,
    all_of,
    any_of,
    context_threshold,
    event_threshold,
    install_error_handlers,
    read_runs,
    register_redis_instance,
    session_router,
    session_state,
    time_threshold,
    token_threshold,
    unregister_redis_instance,
    with_session,
)
from langchain_redis_session.adapters._middleware.state_view import SessionState
from langchain_redis_session.adapters.runnable import RunnableWithSession
from langchain_redis_session.summarizer import SummaryResult, SummaryTrigger


def history(service: RedisSessionService) -> None:
    history = RedisSessionChatMessageHistory("s", service=service)
    RedisSessionChatMessageHistory("s", start_on=None, open_tool_calls="drop")
    assert_type(history.session_id, str)
    assert_type(history.id, str)
    assert_type(history.key, str)
    assert_type(history.key_prefix, str)
    assert_type(history.redis_client, Any)
    assert_type(history.ttl, float | None)
    assert_type(history.messages, list[BaseMessage])
    assert_type(history.add_messages([HumanMessage("hi")]), None)
    assert_type(history.add_message(HumanMessage("hi")), None)
    assert_type(history.add_user_message("hi"), None)
    assert_type(history.add_ai_message("hi"), None)
    assert_type(history.clear(), None)
    assert_type(history.search_messages("hi", limit=3), list[dict[str, Any]])


async def async_history(history: RedisSessionChatMessageHistory) -> None:
    assert_type(await history.aget_messages(), list[BaseMessage])
    assert_type(await history.aadd_messages([HumanMessage("hi")]), None)
    assert_type(await history.aclear(), None)
    assert_type(await history.asearch_messages("hi", limit=3), list[dict[str, Any]])


async def store(store: RedisSessionStore) -> None:
    assert_type(store.mget(["a"]), list[Any])
    assert_type(store.mset([("a", 1)]), None)
    assert_type(store.mdelete(["a"]), None)
    assert_type(store.yield_keys(prefix="user:"), Iterator[str])
    assert_type(await store.amget(["a"]), list[Any])
    assert_type(await store.amset([("a", 1)]), None)
    assert_type(await store.amdelete(["a"]), None)
    assert_type(store.ayield_keys(), AsyncIterator[str])


def chain(service: RedisSessionService) -> None:
    model = FakeListLLM(responses=["s"])
    chain = with_session(model, service)
    assert_type(with_session(model, service, max_messages=5), RunnableWithSession)
    assert_type(chain.invoke("hi"), Any)
    assert_type(chain.stream("hi"), Iterator[Any])
    assert_type(chain.astream("hi"), AsyncIterator[Any])


def classic(service: RedisSessionService) -> None:
    classic = RedisSessionMemory(service, "s", user_id="u", return_messages=True)
    assert_type(classic.memory_variables, list[str])
    assert_type(classic.load_memory_variables({}), dict[str, Any])
    assert_type(classic.save_context({"input": "hi"}, {"output": "hello"}), None)
    assert_type(classic.clear(), None)


async def async_classic(classic: RedisSessionMemory) -> None:
    assert_type(await classic.aload_memory_variables({}), dict[str, Any])
    assert_type(await classic.asave_context({"input": "hi"}, {"output": "hello"}), None)
    assert_type(await classic.aclear(), None)


def routes(service: RedisSessionService, app: FastAPI) -> None:
    assert_type(session_router(service, user=Depends(lambda: "ann")), APIRouter)
    assert_type(install_error_handlers(app), None)


async def memory(memory: RedisSessionMemoryStore) -> None:
    assert_type(memory.batch([]), list[Result])
    assert_type(await memory.abatch([]), list[Result])


def summarizer(session: Session, request: SummaryRequest) -> None:
    summarizer = SessionSummarizer(FakeListLLM(responses=["s"]))
    assert_type(summarizer.InputType, Any)
    assert_type(summarizer.OutputType, type[str])
    assert_type(summarizer.trigger, SummaryTrigger)
    assert_type(summarizer.is_async_only, bool)
    assert_type(summarizer.minimum_events, int)
    assert_type(summarizer.should_summarize(session), bool)
    assert_type(summarizer.choose_events(session), list[Event])
    assert_type(summarizer.make_request(session), SummaryRequest)
    assert_type(summarizer.count_input_tokens(request), int)
    assert_type(summarizer.summarize(request), SummaryResult)
    assert_type(summarizer.invoke(request), str)


async def async_summarizer(summarizer: SessionSummarizer, request: SummaryRequest) -> None:
    assert_type(await summarizer.asummarize(request), SummaryResult)
    assert_type(await summarizer.ainvoke([HumanMessage("hi")]), str)


async def tracks(
    tracks: TrackCallbackHandler,
    async_tracks: AsyncTrackCallbackHandler,
    track_event: TrackEvent,
) -> None:
    assert_type(tracks.flush(), bool)
    assert_type(await tracks.aflush(), bool)
    assert_type(await async_tracks.aflush(), bool)
    assert_type(tracks.dropped, int)
    assert_type(tracks.waiting, int)
    assert_type(async_tracks.dropped, int)
    assert_type(async_tracks.waiting, int)
    assert_type(track_event.timestamp, datetime)
    tree = read_runs([track_event])
    assert_type(read_runs([track_event]), RunTree)
    assert_type(tree.errors, list[Run])
    assert_type(tree.usage, dict[str, int])
    run = next(iter(tree))
    assert_type(run.is_hidden, bool)


def values(context: AppendEventContext, event: Event, key: SessionKey, session: Session) -> None:
    assert_type(context.skip(), None)
    assert_type(event.timestamp, datetime)
    assert_type(key.scope, tuple[str, str, str])
    assert_type(session.messages, list[BaseMessage])


def agents(runtime: object) -> None:
    assert_type(session_state(runtime), SessionState)


def instances(client: redis.Redis) -> None:
    assert_type(register_redis_instance("main", "redis://", socket_timeout=5), None)
    assert_type(register_redis_instance("main", client=client), None)
    assert_type(register_redis_instance("main", factory=lambda: client), None)
    assert_type(unregister_redis_instance("main"), None)


def triggers() -> None:
    assert_type(event_threshold(20), SummaryTrigger)
    assert_type(token_threshold(count=2000), SummaryTrigger)
    assert_type(context_threshold(0.5, 8192), SummaryTrigger)
    assert_type(time_threshold(seconds=60), SummaryTrigger)
    assert_type(all_of(event_threshold(2), any_of(time_threshold(1))), SummaryTrigger)
    assert_type(any_of(event_threshold(2)), SummaryTrigger)
