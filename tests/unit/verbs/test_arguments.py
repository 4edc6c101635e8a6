"""Each method and constructor refuses what it can't use, by the argument's own name.

The table says what is wrong for each argument, wherever it stands; that is refused before
anything else, so no server is needed.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

import pytest
import redis
import redis.asyncio
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import HumanMessage

from langchain_redis_session import (
    AsyncTrackCallbackHandler,
    Event,
    RedisSessionChatMessageHistory,
    RedisSessionError,
    RedisSessionMemoryStore,
    RedisSessionService,
    RedisSessionStore,
    SessionCallbackHandler,
    SessionKey,
    SessionSummarizer,
    TrackCallbackHandler,
    TrackEvent,
    UsageBudget,
    all_of,
    any_of,
    context_threshold,
    event_threshold,
    read_runs,
    time_threshold,
    token_threshold,
)
from tests.methods import KEY, make_values, method_names, parameters_of

NOBODY = "redis://127.0.0.1:1"
SERVICE = RedisSessionService(NOBODY, unserializable="raise")
HUGE = 2**63 - 1

INDEX = {"dims": 1, "embed": print}

NO_ID = ["", 5, True, b"s", ["s"], "x" * 513, "\ud800"]
NO_COUNT = [None, -1, True, 1.5, "5", [1], HUGE]
NO_MOMENT = ["now", True, float("nan"), 10**30, [1], datetime(2026, 1, 1)]
NO_DAY: list[Any] = [5, True, "2026-11-23", ["x"]]
NO_HOW: list[Any] = [5, True, "answers", ["keep"]]
NO_FLAG: list[Any] = [None, 1, "yes", []]
NO_TEXT = [5, True, ["x"], b"x", "\ud800"]
NO_STATE = [5, True, "x", [1], {"": 1}, {5: 1}, {"k": object()}, {"k": {1}}, {"\ud800": 1}]
NO_FUNCTION = [5, True, "x", [print]]
NO_TIME = [-1, "5", True, float("nan"), float("inf"), [1]]
NO_SIZE = [0, -1, True, 1.5, "5", [1]]

WRONG: dict[str, list[Any]] = {
    "after": NO_MOMENT,
    "app_name": [None, *NO_ID],
    "author": NO_TEXT,
    "before": NO_MOMENT,
    "branch": [None, *NO_TEXT],
    "callbacks": [5, "x", [5], [SessionCallbackHandler], SessionCallbackHandler],
    "count": NO_COUNT,
    "create": NO_FLAG,
    "event": [None, 5, "x", {}, [Event()], HumanMessage("x"), TrackEvent("t")],
    "event_id": [None, *NO_ID],
    "event_ids": [None, 5, True, b"e", "", {}, [5], [None], [""], ["e", "\ud800"], ["x" * 513]],
    "events": [None, 5, "x", {}, [5], [HumanMessage("x")], [Event(), None], HumanMessage("x")],
    "events_limit": [-1, True, 1.5, "5", [1], HUGE],
    "events_start_on": ["user", 5, True, ["human"]],
    "filter_key": [None, *NO_TEXT],
    "force": NO_FLAG,
    "include_events": NO_FLAG,
    "invocation_id": [None, *NO_TEXT],
    "key": [None, 5, True, "s1", ("shop", "ann", "s1"), SessionKey],
    "limit": [-1, True, 1.5, "5", [1]],
    "messages": [None, 5, b"hi", {}, [{"role": "user"}], [None], [HumanMessage("x"), 5], Event()],
    "names": [None, 5, "", ["k"], "\ud800"],
    "new_event_limit": [0, -1, True, 1.5, "5", [1]],
    "offset": [None, -1, True, 1.5, "5", [1]],
    "once": NO_FLAG,
    "open_tool_calls": [None, *NO_HOW],
    "payload": [],  # anything has a plain form
    "payloads": [None, 5, "x", {}, TrackEvent("t"), [TrackEvent("other")]],
    "query": [None, 5, True, "", "  ", ["x"]],
    "request_id": [None, *NO_TEXT],
    "roles": [5, True, "user", ["robot"], [5], [["user"]]],
    "session_id": NO_ID,
    "since": NO_DAY,
    "start_on": ["user", 5, True, ["human"]],
    "state": NO_STATE,
    "state_delta": NO_STATE,
    "strict": NO_FLAG,
    "tag": [None, *NO_TEXT],
    "timeout": NO_TIME,
    "timestamp": [*NO_MOMENT, 1.5],
    "track": [None, *NO_ID],
    "until": NO_DAY,
    "user_id": [None, *NO_ID],
    "values": [None, *NO_STATE],
}
# Where a name means something else.
WRONG_IN: dict[tuple[str, str], list[Any]] = {
    ("get_event_window", "after"): NO_COUNT,
    ("get_event_window", "before"): NO_COUNT,
}
# Where an error says it in another word: an item of several, or what is wrong with a value.
SAYS = {"names": "names|state name", "payloads": "payloads?|track"}


PARAMETERS = [
    (name, parameter.name) for name in method_names() for parameter in parameters_of(name)
]


def make_arguments(name: str, argument: str, value: Any) -> tuple[list[Any], dict[str, Any]]:
    """Give what works for the parameters that need something, and the value for one of them."""
    args, kwargs, values = [], {}, make_values()
    for parameter in parameters_of(name):
        if parameter.kind is parameter.KEYWORD_ONLY or parameter.default is not parameter.empty:
            if parameter.name == argument:
                kwargs[argument] = value
        else:
            args.append(value if parameter.name == argument else values[parameter.name])
    return args, kwargs


async def check_refusal(says: str, value: Any, call: Callable[[], Any]) -> None:
    """Check that a call is refused in these words, before anything else."""
    try:
        result = call()
        if inspect.isawaitable(result):
            await result
    except RedisSessionError as error:
        text = str(error)
    else:
        pytest.fail(f"{value!r} was accepted")
    assert re.search(rf"\b({says})\b", text), f"{value!r}: {text}"
    assert len(text) < 400, "the value stands there whole"
    assert "Redis did not take" not in text, f"{value!r} went to the server"


@pytest.fixture(params=["sync", "async"], scope="module")
def prefix(request: pytest.FixtureRequest) -> str:
    return "a" if request.param == "async" else ""


@pytest.fixture(params=["direct", "write-behind"], scope="module")
def service(request: pytest.FixtureRequest) -> Iterator[RedisSessionService]:
    is_write_behind = request.param == "write-behind"
    with RedisSessionService(
        NOBODY,
        unserializable="raise",
        enable_async_persist=is_write_behind,
        persist_close_timeout=0.1,
        summarizer=lambda request: "s",
    ) as service:
        yield service


@pytest.mark.parametrize(("name", "argument"), PARAMETERS)
async def test_a_method_names_the_argument_that_it_can_not_use(
    service: RedisSessionService, prefix: str, name: str, argument: str
) -> None:
    method = getattr(service, f"{prefix}{name}")
    for value in WRONG_IN.get((name, argument), WRONG[argument]):
        args, kwargs = make_arguments(name, argument, value)
        call = partial(method, *args, **kwargs)
        await check_refusal(SAYS.get(argument, argument), value, call)
    persist = service.stats().persist
    assert persist is None or persist.accepted == 0, "something was accepted"


# --- Constructors and functions ------------------------------------------------------------------

MODEL = FakeListLLM(responses=["s"])
NO_SERVICE = [5, True, "redis://", redis.Redis(), RedisSessionService]
TRACKING = {
    "service": [None, *NO_SERVICE],
    "key": WRONG["key"],
    "track": WRONG["track"],
    "inputs": NO_FLAG,
    "outputs": NO_FLAG,
    "max_chars": NO_SIZE,
    "batch_size": [None, *NO_SIZE],
    "max_waiting": [None, *NO_SIZE],
}
NO_TTL = [-1, "1h", True, float("nan"), float("inf"), [1]]
OPTIONS: dict[str, list[Any]] = {
    "redis_url": [5, True, b"redis://", "http://x", ["redis://"]],
    "redis_instance": [5, True, b"main"],
    "client": [5, "redis://", object(), redis.Redis],
    "async_client": [5, "redis://", object(), redis.Redis(), redis.asyncio.Redis],
    "extra_options": [5, "x", [1], {"socket_timout": 5}],
    "pool_timeout": [None, 0, *NO_TIME],
    "key_prefix": [None, 5, True, b"p", "{p}", "\ud800"],
    "hash_tag": [None, 5, "session"],
    "session_event_limit": NO_SIZE,
    "session_ttl": NO_TTL,
    "app_state_ttl": NO_TTL,
    "user_state_ttl": NO_TTL,
    "track_event_ttl": NO_TTL,
    "track_event_limit": NO_SIZE,
    "max_event_bytes": [None, *NO_SIZE],
    "max_state_bytes": NO_SIZE,
    "refresh_ttl_on_read": [None, 5, "x", []],
    "per_field_ttl": [5, "x", []],
    "use_evalsha": [None, 5, "x", []],
    "unserializable": [None, 5, "drop"],
    "enable_async_persist": [None, 5, "x", []],
    "async_persister_num": [None, *NO_SIZE],
    "persist_queue_size": [None, *NO_SIZE],
    "persist_put_timeout": [None, 0, *NO_TIME],
    "persist_retry_timeout": [0, *NO_TIME],
    "persist_close_timeout": [None, 0, *NO_TIME],
    "persist_spool_dir": [5, True, ["x"]],
    "on_persist_error": NO_FUNCTION,
    "callbacks": WRONG["callbacks"],
    "wait_replicas": [None, -1, True, 1.5, "5"],
    "wait_timeout": [None, 0, *NO_TIME],
    "summarizer": [5, True, "openai:gpt-5", [print], SessionSummarizer],
    "pick_summarizer": NO_FUNCTION,
    "auto_summarize": [None, 5, "x", []],
    "async_summary_num": [None, *NO_SIZE],
    "summary_queue_size": [None, *NO_SIZE],
    "summary_job_timeout": [None, 0, *NO_TIME],
    "summary_close_timeout": [None, 0, *NO_TIME],
    "cascade_full_session_summary": [None, 5, "x", []],
    "summary_filter_allowlist": [5, True, "app", [5], ["\ud800"]],
    "track_usage": [None, 5, "x", []],
    "enable_tracing": [None, 5, "x", []],
    "clock": [None, *NO_FUNCTION],
}
HISTORY = {
    "session_id": [None, *NO_ID],
    "redis_url": [5, True, b"redis://", "http://x"],
    "key_prefix": OPTIONS["key_prefix"],
    "ttl": NO_TTL,
    "user_id": [None, *NO_ID],
    "app_name": [None, *NO_ID],
    "service": NO_SERVICE,
    "redis_instance": OPTIONS["redis_instance"],
    "redis_client": OPTIONS["client"],
    "async_client": OPTIONS["async_client"],
    "url": [5, True, b"redis://"],
    "max_messages": NO_SIZE,
    "max_tokens": NO_SIZE,
    "token_counter": [None, *NO_FUNCTION],
    "include_summary": NO_FLAG,
    "format_summary": [None, *NO_FUNCTION],
    "start_on": WRONG["start_on"],
    "stable_window": [*NO_FLAG, True],  # there is no limit
    "include_interrupted": NO_FLAG,
    "open_tool_calls": NO_HOW,
    "callbacks": WRONG["callbacks"],
    "index_name": [],  # of no effect
    "overwrite_index": [],
    "options": [],  # by their own names
}
MAKERS: dict[Callable[..., Any], tuple[dict[str, Any], dict[str, list[Any]]]] = {
    SessionKey: (
        {"app_name": "shop", "user_id": "ann", "session_id": "s1"},
        {name: [None, *NO_ID] for name in ("app_name", "user_id", "session_id")},
    ),
    RedisSessionService: ({}, OPTIONS),
    RedisSessionChatMessageHistory: ({"session_id": "s1"}, HISTORY),
    TrackCallbackHandler: ({"service": SERVICE, "key": KEY}, TRACKING),
    AsyncTrackCallbackHandler: ({"service": SERVICE, "key": KEY}, TRACKING),
    UsageBudget: (
        {"limit": 5},
        {
            "limit": [None, -1, True, 1.5, "5"],
            "per": [None, 5, "week"],
            "kind": [None, 5, "money"],
            "model": [5, ["x"]],
        },
    ),
    RedisSessionMemoryStore: (
        {"service": SERVICE},
        {
            "service": [None, *NO_SERVICE],
            "app_name": [None, *NO_ID],
            "user": [5, True, "", b"s", ["s"], "x" * 513],
            "index": [5, "x", {}, {"dims": 0, "embed": print}, {**INDEX, "fields": "x"}],
            "ttl": [5, "x", {"default": 5}, {"default_ttl": 0}, {"default_ttl": "x"}],
        },
    ),
    RedisSessionStore: (
        {"service": SERVICE, "key": KEY},
        {"service": [None, *NO_SERVICE], "key": WRONG["key"]},
    ),
    SessionSummarizer: (
        {"model": MODEL},
        {
            "model": [None, 5, "openai:gpt-5", print, lambda request: "s", FakeListLLM],
            "prompt": [5, "no variable", ["x"]],
            "system_prompt": [5, "{unknown}", ["x"]],
            "max_summary_words": NO_SIZE,
            "trigger": [5, "x", SessionSummarizer],
            "skip_recent": [None, -1, True, 1.5, "5"],
            "max_input_tokens": NO_SIZE,
            "token_counter": [None, *NO_FUNCTION],
            "format_tool_call": [None, *NO_FUNCTION],
            "format_tool_result": [None, *NO_FUNCTION],
            "name": [None, 5, ["x"]],
        },
    ),
    event_threshold: ({"count": 5}, {"count": [None, *NO_SIZE]}),
    token_threshold: (
        {"count": 5},
        {"count": [None, *NO_SIZE], "token_counter": [None, *NO_FUNCTION]},
    ),
    context_threshold: (
        {"fraction": 0.5, "context_window": 100},
        {
            "fraction": [None, 0, -1, True, 1.5, "5", float("nan")],
            "context_window": [None, *NO_SIZE],
            "minimum": [None, -1, True, 1.5, "5"],
            "token_counter": [None, *NO_FUNCTION],
        },
    ),
    time_threshold: (
        {"seconds": 5},
        {
            "seconds": [None, 0, *NO_TIME],
            "clock": [None, *NO_FUNCTION],
        },
    ),
    read_runs: ({"events": []}, {"events": [None, 5, "x", [5], [Event()]]}),
}
# What an error says in place of the argument's name.
SAYS_INSTEAD = {
    "extra_options": "extra_options|socket_timout|options",
    "prompt": "prompt|asks for",
    "system_prompt": "system_prompt|asks for",
}


def name_of(value: Any) -> str:
    return getattr(value, "__name__", None) or str(value)


MADE = [(maker, argument) for maker, (_, wrong) in MAKERS.items() for argument in wrong]


@pytest.mark.parametrize("maker", MAKERS, ids=name_of)
def test_every_argument_is_in_the_table(maker: Callable[..., Any]) -> None:
    good, wrong = MAKERS[maker]
    assert list(inspect.signature(maker).parameters) == list(wrong)
    maker(**good)


@pytest.mark.parametrize(("maker", "argument"), MADE, ids=name_of)
async def test_a_constructor_names_the_argument_that_it_can_not_use(
    maker: Callable[..., Any], argument: str
) -> None:
    good, wrong = MAKERS[maker]
    says = SAYS_INSTEAD.get(argument, argument)
    for value in wrong[argument]:
        await check_refusal(says, value, partial(maker, **good | {argument: value}))


@pytest.mark.parametrize("combine", [all_of, any_of])
@pytest.mark.parametrize("value", [None, 5, "x", [event_threshold(1)], SessionSummarizer])
def test_what_is_no_trigger_is_not_combined(combine: Callable[..., Any], value: Any) -> None:
    with pytest.raises(RedisSessionError, match=f"{combine.__name__} takes functions"):
        combine(event_threshold(1), value)


def test_a_history_names_the_argument_that_it_can_not_use() -> None:
    history = RedisSessionChatMessageHistory("s1", service=SERVICE)
    for value in WRONG["messages"]:
        with pytest.raises(RedisSessionError, match="messages"):
            history.add_messages(value)
    adders: list[Callable[[Any], None]] = [
        history.add_message,
        history.add_user_message,
        history.add_ai_message,
    ]
    for add in adders:
        for value in (None, 5, {"role": "user"}, [HumanMessage("x")]):
            with pytest.raises(RedisSessionError, match="is not a message; give"):
                add(value)
    for value in WRONG["limit"]:
        with pytest.raises(RedisSessionError, match="limit"):
            history.search_messages("x", limit=value)


def test_an_event_of_wrong_members_is_refused_by_their_names() -> None:
    wrong: dict[str, list[Any]] = {
        "message": [5, "x", [HumanMessage("x")]],
        **{
            name: NO_TEXT
            for name in ("author", "request_id", "invocation_id", "branch", "tag", "filter_key")
        },
        "state_delta": NO_STATE,
        "extensions": [5, "x", [1], {5: 1}],
        "extra": [5, "x", [1], {5: 1}],
        "id": [None, *NO_TEXT],
        "time_ns": [None, "now", 1.5, 10**30],
    }
    for name, values in wrong.items():
        for value in values:
            with pytest.raises(RedisSessionError, match=name):
                SERVICE.append_event(KEY, Event(**{name: value}))
