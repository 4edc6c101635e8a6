"""What is said of options, services, summarizers and hooks that can't work."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage

from langchain_redis_session import (
    ConfigurationError,
    RedisInstanceNotFoundError,
    RedisSessionChatMessageHistory,
    RedisSessionMemory,
    RedisSessionMemoryStore,
    RedisSessionService,
    RedisSessionStore,
    SessionCallbackHandler,
    SessionSummarizer,
    SummaryError,
    TrackCallbackHandler,
    UsageBudget,
    register_redis_instance,
    session_router,
    with_session,
)
from tests.integration.mistakes import (
    KEY,
    MODEL,
    SERVICE,
    Do,
    each,
    fail,
    list_shown,
    make_agent,
    make_chain,
    make_history,
    make_service,
    run,
    table,
    tell,
)

# --- Names and values -----------------------------------------------------------------------------

OF_WINDOWS = (
    "RedisSessionChatMessageHistory, RedisSessionMiddleware, with_session and RedisSessionMemory "
    "have"
)
OF_RUNS = "RedisSessionMiddleware and with_session have"
TTL = "can't work: give a timedelta(minutes=30), seconds, or None for never"


@table(
    *(
        (
            name,
            do,
            ConfigurationError,
            f"there is no option {given!r}; did you mean {meant!r}?",
        )
        for name, given, meant, do in (
            ("service", "session_tll", "session_ttl", lambda: make_service(session_tll=5)),
            ("service's TTL", "ttl", "session_ttl", lambda: make_service(ttl=5)),
            ("history", "max_mesages", "max_messages", lambda: make_history(max_mesages=5)),
            (
                "middleware",
                "max_mesages",
                "max_messages",
                lambda: make_agent(max_mesages=5),
            ),
            ("with_session", "max_mesages", "max_messages", lambda: make_chain(max_mesages=5)),
            ("store", "keys", "key", lambda: RedisSessionStore(SERVICE, keys=KEY)),  # type: ignore[call-arg]
            (
                "memory store",
                "app",
                "app_name",
                lambda: RedisSessionMemoryStore(SERVICE, app="shop"),  # type: ignore[call-arg]
            ),
            (
                "classic memory",
                "max_mesages",
                "max_messages",
                lambda: RedisSessionMemory(SERVICE, "s1", max_mesages=5),  # type: ignore[call-arg]
            ),
            ("router", "usr", "user", lambda: session_router(SERVICE, usr="ann")),  # type: ignore[call-arg]
            (
                "run tracks",
                "input",
                "inputs",
                lambda: TrackCallbackHandler(SERVICE, KEY, input=True),  # type: ignore[call-arg]
            ),
            (
                "summarizer",
                "triger",
                "trigger",
                lambda: SessionSummarizer(MODEL, triger=5),  # type: ignore[call-arg]
            ),
            ("budget", "pr", "per", lambda: UsageBudget(5, pr="day")),  # type: ignore[call-arg]
        )
    ),
    (
        "an option of the service's elsewhere",
        lambda: make_agent(ttl=5),
        ConfigurationError,
        "there is no option 'ttl'; RedisSessionService has 'session_ttl': set it there",
    ),
    (
        "an option of the client's elsewhere",
        lambda: make_service(host="localhost"),
        ConfigurationError,
        "there is no option 'host'; it is one of redis-py's clients: "
        "RedisSessionService(extra_options={'host': …})",
    ),
    *(
        (
            f"{name} of {where}",
            partial(make, **{name: 5}),
            ConfigurationError,
            f"there is no option {name!r}; {owners} {name!r}: set it there",
        )
        for where, name, owners, make in (
            ("windows, to the service", "max_messages", OF_WINDOWS, make_service),
            ("windows, to the service", "include_summary", OF_WINDOWS, make_service),
            ("agents, to the service", "on_store_error", OF_RUNS, make_service),
            ("agents, to a history", "on_store_error", OF_RUNS, make_history),
            ("chains, to an agent", "input_messages_key", "with_session has", make_agent),
            ("the summarizer, to the service", "trigger", "SessionSummarizer has", make_service),
            ("the service, to an agent", "session_ttl", "RedisSessionService has", make_agent),
            ("the service, to a chain", "redis_url", "RedisSessionService has", make_chain),
            (
                "the service, to a store",
                "session_ttl",
                "RedisSessionService has",
                partial(RedisSessionMemoryStore, SERVICE),
            ),
            (
                "the service, to a summarizer",
                "auto_summarize",
                "RedisSessionService has",
                partial(SessionSummarizer, MODEL),
            ),
        )
    ),
    *(
        (
            f"an option of the client's: {way}",
            lambda make=make: make(password="Wombat"),
            ConfigurationError,
            "there is no option 'password'; it is one of redis-py's clients: "
            "RedisSessionService(extra_options={'password': …})",
        )
        for way, make in (
            ("agent", make_agent),
            ("chain", make_chain),
            ("memory store", partial(RedisSessionMemoryStore, SERVICE)),
        )
    ),
    *(
        (
            f"an id of a run's: {way}",
            lambda make=make: make(thread_id="s1"),
            ConfigurationError,
            "there is no option 'thread_id'; each run names its own: "
            "config={'configurable': {'thread_id': …}}",
        )
        for way, make in (("agent", make_agent), ("chain", make_chain))
    ),
    *(
        (
            f"an id of a call's: {name}",
            partial(make_service, **{name: "ann"}),
            ConfigurationError,
            f"there is no option {name!r}; a service is for all apps, users and sessions: give it "
            "to each call, as in create_session(app_name, user_id, session_id)",
        )
        for name in ("app_name", "user_id", "session_id")
    ),
    (
        "options of clients as a service takes them",
        lambda: make_history(extra_options={"password": "Wombat"}),
        ConfigurationError,
        "there is no option 'extra_options'; RedisSessionChatMessageHistory takes options of "
        "redis-py's clients as its own arguments",
    ),
    (
        "an option of the service's for its client",
        lambda: make_service(extra_options={"session_ttl": 5}),
        ConfigurationError,
        "the options for clients can't be used: redis-py's clients have no option 'session_ttl'; "
        "RedisSessionService has 'session_ttl': set it there",
    ),
    (
        "an option of the service's for an instance",
        lambda: register_redis_instance("main", "redis://localhost", session_ttl=5),
        ConfigurationError,
        "redis_url='redis://localhost:6379' can't be used: redis-py's clients have no option "
        "'session_ttl'; RedisSessionService has 'session_ttl': set it there",
    ),
    (
        "nothing near",
        lambda: RedisSessionMemoryStore(SERVICE, zzz=5),  # type: ignore[call-arg]
        ConfigurationError,
        "there is no option 'zzz'; the options of RedisSessionMemoryStore are: service, app_name, "
        "user, index, ttl",
    ),
    (
        "memory store's TTL",
        lambda: RedisSessionMemoryStore(SERVICE, ttl={"ttl": 5}),  # type: ignore[arg-type]
        ConfigurationError,
        "ttl: there is no option 'ttl' in TTLConfig; did you mean 'default_ttl'?",
    ),
    (
        "client's options",
        lambda: make_service(extra_options={"socket_timout": 5}),
        ConfigurationError,
        "the options for clients can't be used: redis-py's clients have no option "
        "'socket_timout'; did you mean 'socket_timeout'?",
    ),
    *(
        (
            f"{name}='30m' of the service",
            lambda name=name: make_service(**{name: "30m"}),
            ConfigurationError,
            f"{name}='30m' {TTL}",
        )
        for name in ("session_ttl", "app_state_ttl", "user_state_ttl", "track_event_ttl")
    ),
    (
        "ttl='30m' of a history",
        lambda: RedisSessionChatMessageHistory("s1", "memory://other", ttl="30m"),  # type: ignore[arg-type]
        ConfigurationError,
        f"ttl='30m' {TTL}",
    ),
    (
        "ttl='30m' of a memory store",
        lambda: RedisSessionMemoryStore(SERVICE, ttl={"default_ttl": "30m"}),  # type: ignore[arg-type]
        ConfigurationError,
        "ttl: default_ttl must be a number of minutes above 0, or None for ever, not '30m'",
    ),
    (
        "what embeds",
        lambda: RedisSessionMemoryStore(SERVICE, index={"dims": 3, "embed": 5}),  # type: ignore[arg-type]
        ConfigurationError,
        "index: embed must be an Embeddings model, a function of a list of texts, or a name such "
        'as "openai:text-embedding-3-small", not 5',
    ),
    (
        "an instance that nobody has registered",
        lambda: RedisSessionService(redis_instance="mine"),
        RedisInstanceNotFoundError,
        "no Redis instance is registered as 'mine'; register it first: "
        "register_redis_instance('mine', url)",
    ),
)
def test_options_that_can_not_work(do: Do, kind: type[Exception], text: str) -> None:
    assert tell(fail(do, kind)) == text


@pytest.mark.parametrize("name", ["get_messages", "aget_messages"])
def test_a_misspelt_argument_of_a_method_is_an_error_of_python_that_tells_which(name: str) -> None:
    with pytest.raises(TypeError) as raised:
        run(lambda: getattr(SERVICE, name)(KEY, lmit=5))
    assert str(raised.value) == (
        f"RedisSessionService.{name}() got an unexpected keyword argument 'lmit'; "
        "did you mean 'limit'?"
    )
    assert not list(list_shown(raised.value))


def test_an_argument_that_is_an_option_elsewhere_says_where() -> None:
    with pytest.raises(TypeError) as raised:
        SERVICE.append_messages(KEY, ["hi"], session_event_limit=5)  # type: ignore[call-arg]
    assert str(raised.value).endswith(
        "; RedisSessionService has 'session_event_limit': set it there"
    )


# --- Which service --------------------------------------------------------------------------------

TAKING_SERVICES: dict[str, Callable[[Any], Any]] = {
    "history": lambda value: RedisSessionChatMessageHistory("s1", service=value),
    "middleware": make_agent,
    "with_session": make_chain,
    "store": lambda value: RedisSessionStore(value, KEY),
    "memory store": RedisSessionMemoryStore,
    "classic memory": lambda value: RedisSessionMemory(value, "s1"),
    "router": lambda value: session_router(value, user=lambda: "ann"),
    "run tracks": lambda value: TrackCallbackHandler(value, KEY),
}
WITHOUT = {way: do for way, do in TAKING_SERVICES.items() if way != "history"}


@table(
    *(
        row
        for name, value, shown, ways in (
            (
                "a client",
                fakeredis.FakeRedis(),
                "a FakeRedis; make one of the client: RedisSessionService(client=…)",
                TAKING_SERVICES,
            ),
            (
                "an async client",
                redis.asyncio.Redis(),
                "a Redis; make one of the client: RedisSessionService(async_client=…)",
                TAKING_SERVICES,
            ),
            (
                "a URL",
                "redis://:secret@localhost",
                "a str; make one of the URL: RedisSessionService(redis_url)",
                TAKING_SERVICES,
            ),
            (
                "the class",
                RedisSessionService,
                "the class RedisSessionService; make one with RedisSessionService(…)",
                TAKING_SERVICES,
            ),
            ("nothing", None, "None; make one with RedisSessionService(…)", WITHOUT),
            (
                "a history",
                RedisSessionChatMessageHistory("s1", service=SERVICE),
                "a RedisSessionChatMessageHistory; give its .service",
                TAKING_SERVICES,
            ),
            (
                "a function that gives a history",
                lambda session_id: RedisSessionChatMessageHistory(session_id),
                "a function; make one with RedisSessionService(…)",
                TAKING_SERVICES,
            ),
        )
        for row in each(
            ways,
            name,
            value,
            ConfigurationError,
            f"service= must be a RedisSessionService, not {shown}",
        )
    ),
    (
        "a URL as client",
        lambda: RedisSessionService(client="redis://localhost"),
        ConfigurationError,
        "client= must be a sync client of redis-py, not str; a URL goes to redis_url=",
    ),
    (
        "an async client as client",
        lambda: RedisSessionService(client=redis.asyncio.Redis()),
        ConfigurationError,
        "client= must be a sync client of redis-py, not Redis; an async one goes to async_client=",
    ),
    (
        "a client as URL",
        lambda: RedisSessionService(fakeredis.FakeRedis()),  # type: ignore[arg-type]
        ConfigurationError,
        "redis_url must be a string, not FakeRedis; a client goes to client=",
    ),
    (
        "no runnable",
        lambda: with_session(5, SERVICE),  # type: ignore[arg-type]
        ConfigurationError,
        "runnable must be a chain, a model, a function, or a dict of these, not 5",
    ),
)
def test_what_is_no_service_or_client(do: Do, kind: type[Exception], text: str) -> None:
    assert tell(fail(do, kind)) == text


# --- Summarizers and hooks ------------------------------------------------------------------------


async def summarize_async(request: Any) -> str:
    return "a summary"


def take_nothing() -> Any: ...


class Misspelt(SessionCallbackHandler):
    def on_append_events_start(self, context: Any) -> None: ...


class Unfit(SessionCallbackHandler):
    def on_append_event_start(self) -> None: ...  # type: ignore[override]


class Fit(SessionCallbackHandler):
    def on_append_event_start(self, context: Any) -> None: ...


TAKING_SUMMARIZERS: dict[str, Callable[[Any], Any]] = {
    "service": lambda value: make_service(summarizer=value),
    "history": lambda value: RedisSessionChatMessageHistory(
        "s1", "memory://other", summarizer=value
    ),
}
TAKING_HOOKS: dict[str, Callable[[Any], Any]] = {
    "service": lambda value: make_service(callbacks=value),
    "history": lambda value: make_history(callbacks=value),
    "append_messages": lambda value: SERVICE.append_messages(KEY, ["hi"], callbacks=value),
    "aget_messages": lambda value: SERVICE.aget_messages(KEY, callbacks=value),
}
HANDLERS = (
    "callbacks must be a list of callback handlers, objects of a class of yours below "
    "SessionCallbackHandler, not"
)
A_SUMMARIZER = (
    "summarizer must be a chat model, a runnable, a function, or a SessionSummarizer, not"
)


def summarize(summarizer: Any, how: str) -> Any:
    service = RedisSessionService(
        "memory://summarized", summarizer=summarizer, auto_summarize=False
    )
    service.append_messages(KEY, [HumanMessage("hi"), AIMessage("hello")], create=True)
    return getattr(service, how)(KEY, force=True)


@table(
    *each(
        TAKING_SUMMARIZERS,
        "class",
        FakeListChatModel,
        ConfigurationError,
        f"{A_SUMMARIZER} the class FakeListChatModel; give an object of it",
    ),
    *each(
        TAKING_SUMMARIZERS,
        "string",
        "gpt-5",
        ConfigurationError,
        f"{A_SUMMARIZER} the text 'gpt-5'; init_chat_model makes a model of a name",
    ),
    *each(
        TAKING_SUMMARIZERS,
        "async function",
        summarize_async,
        ConfigurationError,
        "the summarizer is asynchronous only, and background workers are threads; give it a sync "
        "function too (RunnableLambda(func, afunc)), or pass auto_summarize=False and use "
        "acreate_summary",
    ),
    *each(
        TAKING_SUMMARIZERS,
        "function of nothing",
        lambda: "a summary",
        ConfigurationError,
        "summarizer is called with (request), which <function <lambda> at 0x… can't take: its "
        "parameters are ()",
    ),
    (
        "async function, called from sync code",
        lambda: summarize(summarize_async, "create_summary"),
        ConfigurationError,
        "<SessionSummarizer: RunnableLambda> runs an async function: await acreate_summary, "
        "asummarize or ainvoke, or give it a function that is not async",
    ),
    *(
        (
            f"summarizer that gives a number: {how}",
            lambda how=how: summarize(lambda request: 5, how),
            SummaryError,
            "the summarizer gave no text and no message but 5; add a step that makes a text of it",
        )
        for how in ("create_summary", "acreate_summary")
    ),
    (
        "no summarizer",
        lambda: SERVICE.create_summary(KEY),
        ConfigurationError,
        "this service makes no summaries; give it a model or a SessionSummarizer as summarizer=",
    ),
    (
        "string as model of a summarizer",
        lambda: SessionSummarizer("gpt-5"),  # type: ignore[arg-type]
        ConfigurationError,
        "model must be a chat model, or a runnable that takes a prompt, not the text 'gpt-5'; "
        "init_chat_model makes a model of a name",
    ),
    *each(
        TAKING_HOOKS,
        "misspelt hook",
        [Misspelt()],
        ConfigurationError,
        "Misspelt.on_append_events_start is no hook, and would never be called; did you mean "
        "'on_append_event_start'?",
    ),
    *each(
        TAKING_HOOKS,
        "hook with a wrong signature",
        [Unfit()],
        ConfigurationError,
        "Unfit.on_append_event_start is called with (context), which it can't take: its parameters "
        "are (self); write def on_append_event_start(self, context)",
    ),
    *each(
        TAKING_HOOKS,
        "function",
        [summarize],
        ConfigurationError,
        f"{HANDLERS} <function summarize at 0x…; make it a method of such a class, like "
        "on_append_event_start",
    ),
    *each(
        TAKING_HOOKS,
        "class",
        [Fit],
        ConfigurationError,
        f"{HANDLERS} the class Fit; give an object: [Fit()]",
    ),
    *each(
        TAKING_HOOKS,
        "handler alone",
        Fit(),
        ConfigurationError,
        f"{HANDLERS} a Fit alone; put it into a list",
    ),
    *(
        (
            f"function of the caller's: {name}",
            do,
            ConfigurationError,
            f"{name} is called with ({wanted}), which <function take_nothing at 0x… can't take: "
            "its parameters are ()",
        )
        for name, wanted, do in (
            ("on_persist_error", "letter", lambda: make_service(on_persist_error=take_nothing)),
            ("pick_summarizer", "session", lambda: make_service(pick_summarizer=take_nothing)),
            ("token_counter", "messages", lambda: make_history(token_counter=take_nothing)),
            ("format_summary", "summary", lambda: make_chain(format_summary=take_nothing)),
            ("session", "runtime", lambda: make_agent(session=take_nothing)),
            (
                "user",
                "namespace",
                lambda: RedisSessionMemoryStore(SERVICE, user=take_nothing),  # type: ignore[arg-type]
            ),
        )
    ),
    (
        "async function of the caller's",
        lambda: make_service(on_persist_error=summarize_async),
        ConfigurationError,
        "on_persist_error must be a plain function, not the async <function summarize_async at "
        "0x…, which nobody awaits",
    ),
)
def test_an_error_says_what_is_no_summarizer_or_hook(
    do: Do, kind: type[Exception], text: str
) -> None:
    assert tell(fail(do, kind)) == text
