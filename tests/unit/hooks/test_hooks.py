"""Hooks as flows, apart from any verb: those of summaries, and how they are found."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, StdOutCallbackHandler
from langchain_core.messages import HumanMessage

from langchain_redis_session import (
    AsyncSessionCallbackHandler,
    ConfigurationError,
    EventRejectedError,
    SessionCallbackHandler,
    SessionKey,
    SummaryContext,
)
from langchain_redis_session._flow.counters import Counters
from langchain_redis_session._flow.drivers import arun, run
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._hooks.discovery import list_handlers
from langchain_redis_session._hooks.hooks import Hooks
from langchain_redis_session.models import SummaryRequest
from tests.contract.hooks import Kind, make_handler, raise_

KEY = SessionKey("shop", "ann", "s1")
every_kind = pytest.mark.parametrize(
    ("mode", "kind"),
    [("sync", "plain"), ("async", "plain"), ("async", "inline"), ("async", "async")],
)


def drive(mode: str, flow: Flow[Any]) -> Any:
    return run(flow, None) if mode == "sync" else asyncio.run(arun(flow, None))


def make_context() -> SummaryContext:
    return SummaryContext(KEY, "app", SummaryRequest([HumanMessage("hi")]))


def summarize(hooks: Hooks, context: SummaryContext, error: Exception | None = None) -> Flow[str]:
    """Go the way that the making of a summary goes."""
    yield from hooks.start("create_summary", context)
    try:
        if error is not None:
            raise error
        context.text = f"{len(context.request.messages)} messages"
    except Exception as raised:
        yield from hooks.error("create_summary", context, error=raised)
        raise
    yield from hooks.end("create_summary", context)
    return context.text


@every_kind
def test_hooks_of_summaries_change_request_and_text(mode: str, kind: Kind) -> None:
    def add(context: SummaryContext) -> None:
        context.request.messages.append(HumanMessage("more"))

    def shout(context: SummaryContext) -> None:
        context.text = context.text.upper()

    hooks = Hooks(
        [make_handler(kind, create_summary_start=add, create_summary_end=shout)], Counters()
    )
    assert hooks.of_summaries
    assert not hooks.of_appends
    assert not hooks.of_reads
    assert drive(mode, summarize(hooks, make_context())) == "2 MESSAGES"


@every_kind
@pytest.mark.parametrize("stage", ["start", "end"])
def test_a_veto_of_a_summary(mode: str, kind: Kind, stage: str) -> None:
    """At its end too: it is stored after that."""
    told: list[Exception] = []
    veto: dict[str, Any] = {f"create_summary_{stage}": lambda _: raise_(ValueError("a secret"))}
    figures = Counters()
    hooks = Hooks(
        [
            make_handler(kind, create_summary_error=lambda _, error: told.append(error)),
            make_handler(kind, "Guard", **veto),
        ],
        figures,
    )
    with pytest.raises(EventRejectedError) as caught:
        drive(mode, summarize(hooks, make_context()))
    assert str(caught.value) == (
        f"on_create_summary_{stage} of Guard rejected create_summary by raising ValueError (the "
        "cause of this error); nothing was written"
    )
    assert told == [caught.value]
    assert figures.hook_vetoes == 1


@every_kind
def test_errors_of_a_summary(mode: str, kind: Kind) -> None:
    told: list[Exception] = []
    hooks = Hooks(
        [make_handler(kind, create_summary_error=lambda _, e: told.append(e))], Counters()
    )
    error = RuntimeError("the model is away")
    with pytest.raises(RuntimeError):
        drive(mode, summarize(hooks, make_context(), error))
    assert told == [error]
    spoiler = make_handler(kind, "Spoiler", create_summary_end=lambda c: setattr(c, "text", None))
    with pytest.raises(ConfigurationError, match=r"left a NoneType in context\.text"):
        drive(mode, summarize(Hooks([spoiler], Counters()), make_context()))


def test_an_async_hook_in_synchronous_code() -> None:
    hooks = Hooks([make_handler("async", create_summary_error=lambda *_: None)], Counters())
    with pytest.raises(ConfigurationError, match="is async"):
        drive("sync", summarize(hooks, make_context()))
    assert drive("async", summarize(hooks, make_context())) == "1 messages"


def test_only_what_is_overridden_is_called() -> None:
    nothing: list[BaseCallbackHandler] = [
        SessionCallbackHandler(),
        AsyncSessionCallbackHandler(),
        StdOutCallbackHandler(),
    ]
    hooks = Hooks(nothing, Counters())
    found = [hooks.of_appends, hooks.of_reads, hooks.of_summaries]
    assert not any([*found, hooks.corrupt, hooks.persist, hooks.observers])
    for hook in ("append_event_end", "get_session_error", "corrupt_event", "persist_error"):
        functions: dict[str, Any] = {hook: lambda *_: None}
        more = hooks.extend([make_handler("plain", **functions)])
        found = [more.of_appends, more.of_reads, bool(more.corrupt), bool(more.persist)]
        assert found.count(True) == 1
    assert hooks.extend(None) is hooks
    assert hooks.extend([]) is hooks


def test_a_subclass_of_a_handler_inherits_its_hooks() -> None:
    class Base(SessionCallbackHandler):
        def on_append_event_end(self, context: Any) -> None: ...

    class Child(Base): ...

    assert Hooks([Child()], Counters()).of_appends


@pytest.mark.parametrize("base", [SessionCallbackHandler, AsyncSessionCallbackHandler])
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("on_append_events_start", "on_append_event_start"),
        ("on_get_session_begin", "on_get_session_"),
        ("on_persist_errors", "on_persist_error"),
        ("on_corrupt_entry", "on_corrupt_event"),
        ("on_get_weather", ""),
    ],
)
def test_a_misspelt_hook_is_refused_when_it_is_given(base: Any, name: str, meant: str) -> None:
    handler = type("Guard", (base,), {name: lambda self, context: None})()
    with pytest.raises(ConfigurationError, match=rf"Guard\.{name} is no hook.*{meant}"):
        Hooks(list_handlers([handler]), Counters())
    handler = base()
    setattr(handler, name, lambda context: None)
    with pytest.raises(ConfigurationError, match=f"{name} is no hook"):
        Hooks(list_handlers([handler]), Counters())


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("on_append_event_start", lambda self: None),
        ("on_append_event_start", lambda self, context, more: None),
        ("on_get_session_end", lambda self, *, context: None),
        ("on_append_event_error", lambda self, context: None),
        ("on_persist_error", lambda self, letter, error: None),
        ("on_corrupt_event", staticmethod(lambda: None)),
    ],
)
def test_a_hook_that_can_not_be_called_is_refused_when_it_is_given(name: str, method: Any) -> None:
    handler = type("Guard", (SessionCallbackHandler,), {name: method})()
    with pytest.raises(ConfigurationError, match=rf"Guard\.{name} is called with \("):
        list_handlers([handler])


@pytest.mark.parametrize("of_the_class", [True, False])
def test_a_hook_that_is_no_function_is_refused_when_it_is_given(of_the_class: bool) -> None:
    members = {"on_append_event_start": 5}
    handler: Any = type("Guard", (SessionCallbackHandler,), members if of_the_class else {})()
    vars(handler).update({} if of_the_class else members)
    with pytest.raises(ConfigurationError, match=r"on_append_event_start is called, .* function"):
        list_handlers([handler])


def test_hooks_of_every_shape_that_can_be_called_are_taken() -> None:
    class Guard(SessionCallbackHandler):
        def on_append_event_start(self, context: Any, more: int = 0) -> None: ...

        def on_append_event_error(self, *args: Any) -> None: ...

        @staticmethod
        def on_get_session_end(context: Any) -> None: ...

        @classmethod
        def on_corrupt_event(cls, report: Any) -> None: ...

        def on_llm_start(self, *args: Any, **kwargs: Any) -> None: ...

        def on_get(self) -> None: ...

    assert list_handlers([Guard(), StdOutCallbackHandler()])
