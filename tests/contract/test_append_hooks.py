"""Hooks of appends: what they see, what they may change, and what their errors do."""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_redis_session import (
    AppendEventContext,
    BackendUnavailableError,
    ConfigurationError,
    Event,
    EventRejectedError,
    EventTooLargeError,
    RedisSessionChatMessageHistory,
    SessionCallbackHandler,
    SessionKey,
    SessionNotFoundError,
    UnserializableMessageError,
)
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.hooks import (
    Kind,
    every_kind,
    make_handler,
    make_recorder,
    plain_kinds,
    raise_,
)
from tests.contract.intercept import intercept
from tests.contract.narrow import one_server, server_kinds
from tests.contract.store import make_event, make_events, snapshot, texts

MakeVerbs = Callable[..., Verbs]


@server_kinds
@every_kind
async def test_a_hook_changes_what_is_stored(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind, redis_probe: RedisProbe
) -> None:
    def redact(context: AppendEventContext) -> None:
        assert context.key == key
        assert context.event.message is not None
        assert context.event.score is None
        context.event.message.content = context.event.message.text.replace("4711", "****")
        context.event.tag = "redacted"
        context.event.filter_key = "app/chat"
        context.event.state_delta["seen"] = True
        context.event.state_delta["user:seen"] = 1

    ended: list[tuple[str, float | None, bool]] = []

    def note(context: AppendEventContext) -> None:
        event = context.event
        assert event.message is not None
        ended.append((event.message.text, event.score, (context.duration_ms or 0) > 0))

    handler = make_handler(kind, append_event_start=redact, append_event_end=note)
    verbs = make_verbs(callbacks=[handler])
    message = HumanMessage("my PIN is 4711", id="m1")
    result = await verbs.append_messages(key, [message], create=True)
    assert message.content == "my PIN is 4711"  # the caller's stays as it is
    assert texts(result.events) == ["my PIN is ****"]
    assert ended == [("my PIN is ****", result.events[0].score, True)]
    plain = await make_verbs().get_session(key)
    assert texts(plain.events) == ["my PIN is ****"]
    assert (plain.events[0].tag, plain.events[0].filter_key) == ("redacted", "app/chat")
    assert plain.state == {"seen": True, "user:seen": 1}
    assert "4711" not in str(snapshot(redis_probe))


@server_kinds
@every_kind
async def test_a_hook_puts_another_event_in_place(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind
) -> None:
    mine = make_event(5, AIMessage("mine"))

    def replace(context: AppendEventContext) -> None:
        context.event = mine

    def show(context: AppendEventContext) -> None:
        assert context.event is mine
        context.event = dataclasses.replace(mine, message=AIMessage("shown"))

    verbs = make_verbs(
        callbacks=[make_handler(kind, append_event_start=replace, append_event_end=show)]
    )
    await verbs.create_session("shop", "ann", "s1")
    given = make_event(1)
    result = await verbs.append_event(key, given)
    assert texts(result.events) == ["shown"]
    assert texts(await verbs.get_events(key)) == ["mine"]
    assert given.score == mine.score == float(mine.time_ns)


@one_server
@every_kind
async def test_starts_run_in_the_order_given_and_ends_in_reverse(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind
) -> None:
    """In the order given, ends in reverse; the service's around the call's."""
    seen: list[str] = []
    a, b, c = (make_recorder(kind, name, seen) for name in "abc")
    verbs = make_verbs(callbacks=[a, b])
    await verbs.create_session("shop", "ann", "s1")
    await verbs.append_event(key, make_event(1), callbacks=[c])
    start, end = "append_event_start m1", "append_event_end m1"
    assert seen == [f"{n} {start}" for n in "abc"] + [f"{n} {end}" for n in "cba"]
    seen.clear()
    await verbs.append_event(key, make_event(2), callbacks=[a])  # it is there already
    assert len(seen) == 4
    seen.clear()
    await verbs.append_events(key, make_events(3, 4))
    start, end = start[:-2], end[:-2]
    assert seen == [
        *(f"{n} {start}m{number}" for number in (3, 4) for n in "ab"),
        *(f"{n} {end}m{number}" for number in (3, 4) for n in "ba"),
    ]


@server_kinds
@every_kind
async def test_a_veto_rejects_the_batch(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind, redis_probe: RedisProbe
) -> None:
    seen: list[str] = []

    def veto(context: AppendEventContext) -> None:
        if context.event.message is not None and context.event.message.text == "m3":
            raise ValueError("a secret reason")

    handlers = [
        make_recorder(kind, "a", seen),
        make_handler(kind, "Guard", append_event_start=veto),
        make_recorder(kind, "c", seen),
    ]
    verbs = make_verbs(callbacks=handlers)
    await verbs.create_session("shop", "ann", "s1")
    before = snapshot(redis_probe)
    with pytest.raises(EventRejectedError) as caught:
        await verbs.append_events(key, make_events(1, 2, 3, 4))
    assert str(caught.value) == (
        "on_append_event_start of Guard rejected append_event by raising ValueError (the cause of "
        "this error); nothing was written"
    )
    assert repr(caught.value.__cause__) == "ValueError('a secret reason')"
    assert snapshot(redis_probe) == before
    start, error = "append_event_start", "append_event_error"
    assert seen == [
        *(f"{n} {start} m{number}" for number in (1, 2) for n in "ac"),
        f"a {start} m3",
        f"a {error} m3 EventRejectedError",  # whose start has run, in reverse
        *(f"{n} {error} m{number} EventRejectedError" for number in (2, 1) for n in "ca"),
    ]
    assert verbs.service.stats().hook_vetoes == 1


@server_kinds
@every_kind
async def test_a_skipped_event_is_left_out_without_an_error(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind
) -> None:
    """Not an error; the event and its state are left out, and no further hook sees it."""
    seen: list[str] = []

    def skip(context: AppendEventContext) -> None:
        if context.event.author == "noise":
            context.skip()

    handlers = [
        make_handler(kind, append_event_start=skip),
        make_recorder(kind, "after", seen),
    ]
    verbs = make_verbs(callbacks=handlers)
    await verbs.create_session("shop", "ann", "s1")
    noise = Event(HumanMessage("noise"), author="noise", state_delta={"k": 1})
    result = await verbs.append_events(key, [make_event(1), noise, make_event(2)])
    assert (texts(result.events), result.written) == (["m1", "m2"], 2)
    assert noise.score is None
    assert [line for line in seen if "noise" in line] == []
    session = await verbs.get_session(key)
    assert (texts(session.events), session.state) == (["m1", "m2"], {})
    result = await verbs.append_event(key, noise)
    assert (result.events, result.written, result.removed) == ([], 0, 0)


@one_server
@every_kind
async def test_one_hook_skips_what_another_would_refuse(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind
) -> None:
    verbs = make_verbs(
        callbacks=[
            make_handler(kind, append_event_start=lambda context: context.skip()),
            make_handler(kind, append_event_start=lambda _: raise_(ValueError())),
        ]
    )
    assert (await verbs.append_event(key, make_event(1))).written == 0


ERRORS: dict[str, tuple[type[Exception], Callable[[Verbs, SessionKey], Any]]] = {
    "missing": (SessionNotFoundError, lambda v, k: v.append_event(k, make_event(1))),
    "codec": (
        UnserializableMessageError,
        lambda v, k: v.append_messages(
            k, [HumanMessage("m1", additional_kwargs={"a": {1}})], create=True
        ),
    ),
    "size": (
        EventTooLargeError,
        lambda v, k: v.append_messages(k, [HumanMessage("m1" * 5000)], create=True),
    ),
}


@server_kinds
@every_kind
@pytest.mark.parametrize("name", ERRORS)
async def test_errors_of_the_operation(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind, name: str
) -> None:
    """Told to the error hooks, then raised as they are."""
    expected, call = ERRORS[name]
    seen: list[str] = []
    told: list[Exception] = []
    handlers = [
        make_recorder(kind, "a", seen),
        make_recorder(kind, "b", seen, raises_in="append_event_error"),
        make_handler(kind, append_event_error=lambda _, error: told.append(error)),
    ]
    verbs = make_verbs(callbacks=handlers, max_event_bytes=2000, unserializable="raise")
    with pytest.raises(expected) as caught:
        await call(verbs, key)
    assert told == [caught.value]
    lines = [line.split()[:2] for line in seen]
    names = [(n, f"append_event_{stage}") for stage in ("start", "error") for n in "ab"]
    assert lines == [list(names[place]) for place in (0, 1, 3, 2)]
    assert verbs.service.stats().hook_vetoes == 0


@one_server
@plain_kinds
async def test_an_error_names_the_place_in_what_was_given(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind
) -> None:
    def skip_first(context: Any) -> None:
        if context.event.message.content == "m1":
            context.skip()

    verbs = make_verbs(
        callbacks=[make_handler(kind, append_event_start=skip_first)], unserializable="raise"
    )
    bad = HumanMessage("m3", additional_kwargs={"a": {1}})
    with pytest.raises(UnserializableMessageError, match=r"^messages\[2\]\.additional_kwargs"):
        await verbs.append_messages(key, [HumanMessage("m1"), HumanMessage("m2"), bad], create=True)


@one_server
@plain_kinds
async def test_error_hooks_hear_that_redis_is_away(
    backend: Backend, make_verbs: MakeVerbs, key: SessionKey, kind: Kind
) -> None:
    seen: list[str] = []
    handler = make_recorder(kind, "a", seen)
    verbs, _ = intercept(
        backend, make_verbs, before=lambda _: raise_(ConnectionError("gone")), callbacks=[handler]
    )
    with pytest.raises(BackendUnavailableError):
        await verbs.append_event(key, make_event(1))
    with pytest.raises(BackendUnavailableError):
        await verbs.get_messages(key)
    assert seen == [
        "a append_event_start m1",
        "a append_event_error m1 BackendUnavailableError",
        "a get_session_start",
        "a get_session_error BackendUnavailableError",
    ]


@one_server
@every_kind
async def test_an_end_hook_comes_too_late_for_a_veto(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def spoil(context: Any) -> None:
        context.event = "a secret"

    verbs = make_verbs(
        callbacks=[
            make_recorder(kind, "a", seen),
            make_recorder(kind, "b", seen, raises_in="append_event_end"),
            make_handler(kind, "Spoiler", append_event_end=spoil),
        ]
    )
    await verbs.create_session("shop", "ann", "s1")
    with caplog.at_level(logging.DEBUG):
        result = await verbs.append_event(key, make_event(1))
    assert texts(result.events) == ["m1"]
    assert [line.split()[0] for line in seen] == ["a", "b", "b", "a"]
    assert [
        record.getMessage() for record in caplog.records if "on_" in record.msg % ("on_", "")
    ] == [
        "on_append_event_end of Spoiler failed: TypeError",
        "on_append_event_end of b failed: KeyError",
    ]
    assert "secret" not in caplog.text


@one_server
@every_kind
async def test_what_a_hook_leaves_must_fit(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind
) -> None:
    def spoil(context: Any) -> None:
        context.event = HumanMessage("a secret")

    verbs = make_verbs(callbacks=[make_handler(kind, "Spoiler", append_event_start=spoil)])
    with pytest.raises(ConfigurationError) as caught:
        await verbs.append_messages(key, [HumanMessage("m1")], create=True)
    assert str(caught.value) == (
        "on_append_event_start of Spoiler left a HumanMessage in context.event; it must be an Event"
    )
    assert await verbs.get_session(key) is None


@server_kinds
@every_kind
async def test_sent_again_an_event_is_stored_once(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind
) -> None:
    """A hook works on a copy: sent again, an event gives the same bytes again."""

    def add(context: AppendEventContext) -> None:
        context.event.tag += ";seen"
        context.event.extensions.setdefault("mine", []).append(1)
        message = context.event.message
        assert isinstance(message, AIMessage)
        message.tool_calls[0]["args"]["x"] += 1

    verbs = make_verbs(callbacks=[make_handler(kind, append_event_start=add)])
    await verbs.create_session("shop", "ann", "s1")
    call = {"name": "f", "args": {"x": 1}, "id": "c", "type": "tool_call"}
    event = make_event(1, AIMessage("m1", tool_calls=[call]), extensions={"mine": []}, tag="t")
    twin = copy.deepcopy(event)
    first = await verbs.append_event(key, event)
    second = await verbs.append_event(key, event)
    assert (first.written, second.written) == (1, 0)
    assert event == twin
    assert event.score == first.events[0].score
    (stored,) = await verbs.get_events(key)
    assert (stored.tag, stored.extensions["mine"]) == ("t;seen", [1])
    assert stored.message.tool_calls[0]["args"] == {"x": 2}


@server_kinds
@every_kind
async def test_messages_sent_again_are_told_as_not_stored(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind
) -> None:
    ended: list[tuple[str, bool]] = []

    def note(context: AppendEventContext) -> None:
        assert context.event.message is not None
        ended.append((context.event.message.text, context.event.score is not None))

    verbs = make_verbs(callbacks=[make_handler(kind, append_event_end=note)])
    one, two = HumanMessage("one", id="1"), HumanMessage("two", id="2")
    await verbs.append_messages(key, [one], once=True, create=True)
    result = await verbs.append_messages(key, [one, two], once=True)
    assert (texts(result.events), result.written) == (["two"], 1)
    assert ended == [("one", True), ("one", False), ("two", True)]


@one_server
@every_kind
async def test_an_event_without_a_message(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind
) -> None:
    seen: list[Any] = []

    def note(context: AppendEventContext) -> None:
        seen.append(context.event.message)
        context.event.state_delta["more"] = 2

    verbs = make_verbs(callbacks=[make_handler(kind, append_event_start=note)])
    delta = {"k": [1]}
    await verbs.append_messages(key, [], state_delta=delta, create=True)
    assert seen == [None]
    assert (await verbs.get_session(key)).state == {"k": [1], "more": 2}
    assert delta == {"k": [1]}


@one_server
@plain_kinds
async def test_an_artifact_that_can_not_be_copied(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind
) -> None:
    class Artifact:
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError

    artifact = Artifact()
    seen: list[Any] = []

    def note(context: AppendEventContext) -> None:
        message = context.event.message
        assert isinstance(message, ToolMessage)
        seen.append(message.artifact)
        message.content = "changed"
        message.artifact = None

    verbs = make_verbs(callbacks=[make_handler(kind, append_event_start=note)])
    message = ToolMessage("found", tool_call_id="c", artifact=artifact)
    await verbs.append_messages(key, [message], create=True)
    assert seen == [artifact]
    assert (message.content, message.artifact) == ("found", artifact)


@one_server
@pytest.mark.parametrize("mode", ["sync"], indirect=True)
async def test_async_hooks_in_synchronous_calls(
    make_verbs: MakeVerbs, key: SessionKey, redis_probe: RedisProbe
) -> None:
    """Refused before anything is done; a handler without such hooks is in nobody's way."""
    seen: list[str] = []
    guard = make_handler("async", "Guard", append_event_end=lambda _: None)
    verbs = make_verbs(callbacks=[make_recorder("plain", "a", seen), guard])
    with pytest.raises(ConfigurationError, match="on_append_event_end of Guard is async") as caught:
        await verbs.append_messages(key, [HumanMessage("hi")], create=True)
    assert "aappend_messages" in str(caught.value)
    assert (seen, redis_probe.keys()) == ([], [])
    history = RedisSessionChatMessageHistory("s1", service=make_verbs().service, callbacks=[guard])
    with pytest.raises(ConfigurationError, match="Guard"):
        history.add_messages([HumanMessage("hi")])
    assert redis_probe.keys() == []
    assert await verbs.get_messages(key) == []  # nothing async is there to be called
    await verbs.create_session("shop", "ann", "s1")
    await verbs.append_track_event(key, "t", 1)
    await history.aadd_messages([HumanMessage("hi")])


@one_server
@pytest.mark.parametrize("mode", ["sync"], indirect=True)
async def test_a_plain_hook_that_gives_something_to_await(
    make_verbs: MakeVerbs, key: SessionKey
) -> None:
    seen: list[str] = []

    async def later() -> None:
        seen.append("awaited")

    verbs = make_verbs(callbacks=[make_handler("plain", append_event_start=lambda _: later())])
    with pytest.raises(ConfigurationError, match="is async"):
        await verbs.append_messages(key, [HumanMessage("hi")], create=True)
    assert seen == []
    await verbs.service.aappend_messages(key, [HumanMessage("hi")], create=True)
    assert seen == ["awaited"]


@one_server
@every_kind
@pytest.mark.parametrize("error", [StopIteration("x"), StopAsyncIteration("y"), OSError("z")])
async def test_a_hook_may_raise_what_it_likes(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind, error: Exception
) -> None:
    verbs = make_verbs(callbacks=[make_handler(kind, append_event_start=lambda _: raise_(error))])
    with pytest.raises(EventRejectedError) as caught:
        await verbs.append_messages(key, [HumanMessage("hi")], create=True)
    cause = caught.value.__cause__
    assert cause is error or isinstance(cause, RuntimeError)  # as Python does in coroutines


@one_server
@plain_kinds
async def test_what_callbacks_can_not_be(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind
) -> None:

    wrong: Any
    for wrong, name in (
        ([SessionCallbackHandler], "the class SessionCallbackHandler"),
        (SessionCallbackHandler(), "not a SessionCallbackHandler alone"),
        (["x"], "below SessionCallbackHandler, not .x."),
    ):
        with pytest.raises(ConfigurationError, match=name):
            make_verbs(callbacks=wrong)
        with pytest.raises(ConfigurationError, match=name):
            await make_verbs().append_event(key, make_event(1), callbacks=wrong)
        with pytest.raises(ConfigurationError, match=name):
            RedisSessionChatMessageHistory("s", "memory://", callbacks=wrong)
