"""Hooks of reads: the same on every path, in one round trip."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_redis_session import (
    ConfigurationError,
    CorruptEventError,
    CorruptEventReport,
    Event,
    EventRejectedError,
    GetSessionContext,
    RedisSessionChatMessageHistory,
    Session,
    SessionKey,
)
from tests.contract.backends import Backend, RedisProbe, Verbs
from tests.contract.hooks import Kind, every_kind, make_handler, make_recorder, raise_
from tests.contract.intercept import intercept
from tests.contract.narrow import one_server, server_kinds
from tests.contract.store import NOON, STEP, make_event, make_events, tag_of, texts
from tests.methods import READS

MakeVerbs = Callable[..., Verbs]


async def read(verbs: Verbs, verb: str, key: SessionKey, **options: Any) -> list[str] | None:
    """Read with one of the verbs; what the messages say."""
    result = await getattr(verbs, verb)(key, **options)
    if isinstance(result, Session):
        return texts(result.messages)
    return result if result is None else texts(result)


async def fill(verbs: Verbs, count: int = 6) -> None:
    await verbs.create_session("shop", "ann", "s1")
    key = SessionKey("shop", "ann", "s1")
    await verbs.append_events(key, make_events(*range(count)))


@server_kinds
@every_kind
@pytest.mark.parametrize("verb", READS)
async def test_hooks_see_the_same_on_every_path(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind, verb: str
) -> None:
    seen: list[Any] = []

    def start(context: GetSessionContext) -> None:
        seen.append((context.key, context.method, context.limit, context.offset, context.session))
        context.limit = 3

    def end(context: GetSessionContext) -> None:
        assert context.session is not None
        seen.append(texts(context.session.events))
        assert context.duration_ms is not None
        context.session.events.pop()

    await fill(make_verbs())
    verbs = make_verbs(callbacks=[make_handler(kind, get_session_start=start, get_session_end=end)])
    assert await read(verbs, verb, key, limit=5, offset=1) == ["m2", "m3"]
    assert seen == [(key, verb, 5, 1, None), ["m2", "m3", "m4"]]


@server_kinds
@every_kind
@pytest.mark.parametrize("verb", READS)
async def test_a_hook_changes_what_is_asked_for(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind, verb: str
) -> None:
    await fill(make_verbs())
    moment = datetime.fromtimestamp(NOON / 1e9, timezone.utc)
    seen: list[Any] = []
    changes: list[dict[str, Any]] = []

    def start(context: GetSessionContext) -> None:
        seen.append((context.after, context.before, context.start_on))
        for name, value in changes[-1].items():
            setattr(context, name, value)

    verbs = make_verbs(callbacks=[make_handler(kind, get_session_start=start)])
    for change, expected in (
        ({"before": NOON + 2 * 1024}, ["m0", "m1", "m2"]),
        ({"after": float(NOON + 4 * 1024), "before": None}, ["m4", "m5"]),
        ({"offset": 4}, ["m0", "m1"]),
        ({"limit": 0}, []),
        ({"start_on": "human", "limit": 1}, ["m5"]),
    ):
        changes.append(change)
        assert await read(verbs, verb, key, after=moment) == expected
    assert set(seen) == {(moment, None, None)}
    changes.append({"limit": -1})
    with pytest.raises(ConfigurationError, match="limit must be"):
        await verbs.get_session(key)


@server_kinds
@every_kind
@pytest.mark.parametrize("verb", READS)
async def test_what_a_hook_answers_spares_the_read(
    backend: Backend, make_verbs: MakeVerbs, key: SessionKey, kind: Kind, verb: str
) -> None:
    """Then nothing is read; the other hooks see it as if it had been."""
    now = datetime.now(timezone.utc)
    answer = Session(key, {}, make_events(7, 8), (), now, now)
    seen: list[Any] = []

    def start(context: GetSessionContext) -> None:
        context.session = answer

    def end(context: GetSessionContext) -> None:
        seen.append(context.session)

    verbs, interceptor = intercept(
        backend,
        make_verbs,
        callbacks=[
            make_handler(kind, get_session_end=end),
            make_handler(kind, get_session_start=start),
        ],
    )
    assert await read(verbs, verb, key) == ["m7", "m8"]
    assert interceptor.requests == []
    assert seen == [answer]


@server_kinds
@every_kind
@pytest.mark.parametrize("verb", READS)
async def test_an_end_hook_filters(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind, verb: str
) -> None:
    def even(context: GetSessionContext) -> None:
        session = context.session
        assert session is not None
        events = [e for e in session.events if e.time_ns // 1024 % 2 == NOON // 1024 % 2]
        context.session = Session(
            key, session.state, events, (), session.created_at, session.updated_at
        )

    await fill(make_verbs())
    verbs = make_verbs(callbacks=[make_handler(kind, get_session_end=even)])
    assert await read(verbs, verb, key) == ["m0", "m2", "m4"]


@server_kinds
@every_kind
@pytest.mark.parametrize("verb", READS)
async def test_end_hooks_are_given_none_for_a_missing_session(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind, verb: str
) -> None:
    seen: list[Any] = []
    handler = make_handler(kind, get_session_end=lambda context: seen.append(context.session))
    verbs = make_verbs(callbacks=[handler])
    assert not await read(verbs, verb, key)
    assert seen == [None]


@server_kinds
@every_kind
async def test_windows_are_the_same_with_and_without_hooks(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind
) -> None:
    """`limit` counts messages, and no window begins with an orphaned tool result."""
    plain = make_verbs()
    hooked = make_verbs(callbacks=[make_handler(kind, get_session_end=lambda _: None)])
    await plain.create_session("shop", "ann", "s1")
    call = {"name": "f", "args": {}, "id": "c", "type": "tool_call"}
    await plain.append_events(
        key,
        [
            make_event(0),
            Event(state_delta={"k": 1}),
            make_event(1, AIMessage("call", tool_calls=[call])),
            make_event(2, ToolMessage("found", tool_call_id="c")),
            Event(state_delta={"k": 2}),
            make_event(3, AIMessage("done")),
            make_event(4),
        ],
    )
    for limit in (None, 0, 1, 2, 3, 4, 5, 9):
        for offset in (0, 1, 2):
            for start_on in (None, "human"):
                options = {"limit": limit, "offset": offset, "start_on": start_on}
                for verb in ("get_messages", "get_events"):
                    expected = await getattr(plain, verb)(key, **options)
                    assert await getattr(hooked, verb)(key, **options) == expected, options


@one_server
@every_kind
async def test_an_event_with_several_messages(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind, redis_probe: RedisProbe
) -> None:
    """As trpc-agent-go writes for parallel tool calls: `limit` counts messages here too."""
    plain = make_verbs()
    hooked = make_verbs(callbacks=[make_handler(kind, get_session_end=lambda _: None)])
    await fill(plain, 3)
    choices = [
        {"index": n, "message": {"role": "tool", "content": f"r{n}", "tool_id": f"c{n}"}}
        for n in range(3)
    ]
    event = json.dumps({"id": "g", "author": "a", "choices": choices, "version": 1})
    redis_probe.zadd(redis_probe.key("event:{shop}:ann:s1"), {event: NOON + STEP + 1})
    assert len(await plain.get_messages(key)) == 6
    for limit in range(7):
        expected = await plain.get_messages(key, limit=limit)
        assert await hooked.get_messages(key, limit=limit) == expected


@server_kinds
@every_kind
@pytest.mark.parametrize("refresh", [False, True])
@pytest.mark.parametrize("verb", READS)
async def test_a_read_with_hooks_takes_one_round_trip(
    backend: Backend, make_verbs: MakeVerbs, key: SessionKey, kind: Kind, refresh: bool, verb: str
) -> None:
    verbs, interceptor = intercept(
        backend,
        make_verbs,
        session_ttl=100,
        refresh_ttl_on_read=refresh,
        callbacks=[make_recorder(kind, "a", [])],
    )
    await fill(verbs)
    await read(verbs, verb, key)
    interceptor.requests.clear()
    await read(verbs, verb, key, limit=3)
    assert len(interceptor.requests) == 1


@one_server
@every_kind
@pytest.mark.parametrize("stage", ["start", "end"])
@pytest.mark.parametrize("verb", READS)
async def test_a_veto_rejects_the_read_and_names_its_handler(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind, stage: str, verb: str
) -> None:
    seen: list[str] = []
    verbs = make_verbs(
        callbacks=[
            make_recorder(kind, "a", seen),
            make_recorder(kind, "Guard", seen, raises_in=f"get_session_{stage}"),
            make_recorder(kind, "c", seen),
        ]
    )
    with pytest.raises(EventRejectedError) as caught:
        await getattr(verbs, verb)(key)
    assert str(caught.value) == (
        f"on_get_session_{stage} of Guard rejected get_session by raising KeyError (the cause of "
        "this error)"
    )
    assert isinstance(caught.value.__cause__, KeyError)
    error = "a get_session_error EventRejectedError"  # whose end has not run
    starts = [f"{name} get_session_start" for name in ("a", "Guard", "c")]
    if stage == "start":
        assert seen == [*starts[:2], error]
    else:
        assert seen == [*starts, "c get_session_end", "Guard get_session_end", error]
    assert verbs.service.stats().hook_vetoes == 1


@one_server
@every_kind
async def test_errors_of_the_operation(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind, redis_probe: RedisProbe
) -> None:
    seen: list[str] = []
    await fill(make_verbs(), 1)
    redis_probe.zadd(redis_probe.key("event:{shop}:ann:s1"), {b"garbage": NOON + 9e9})
    verbs = make_verbs(callbacks=[make_recorder(kind, "a", seen)])
    with pytest.raises(CorruptEventError):
        await verbs.get_session(key, strict=True)
    assert seen == ["a get_session_start", "a get_session_error CorruptEventError"]


@one_server
@every_kind
@pytest.mark.parametrize("stage", ["start", "end"])
async def test_what_a_hook_leaves_must_fit(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind, stage: str
) -> None:
    def spoil(context: Any) -> None:
        context.session = [HumanMessage("a secret")]

    handler = make_handler(kind, "Spoiler", **{f"get_session_{stage}": spoil})
    with pytest.raises(ConfigurationError, match=f"_{stage} of Spoiler left a list in") as caught:
        await make_verbs(callbacks=[handler]).get_messages(key)
    assert "secret" not in str(caught.value)


@server_kinds
@every_kind
async def test_a_history_has_hooks_of_its_own(
    make_verbs: MakeVerbs, key: SessionKey, kind: Kind
) -> None:
    verbs = make_verbs()

    def redact(context: Any) -> None:
        context.event.message.content = "***"

    def shout(context: GetSessionContext) -> None:
        for event in context.session.events if context.session else ():
            assert event.message is not None
            event.message.content = f"{event.message.text}!"

    handler = make_handler(kind, append_event_start=redact, get_session_end=shout)

    def open_history(**options: Any) -> Verbs:
        return verbs.of(RedisSessionChatMessageHistory("h", service=verbs.service, **options))

    async def messages(history: Verbs) -> list[str]:
        if history.mode == "sync":
            return texts(history.messages)
        return texts(await history.target.aget_messages())

    hooked, plain = open_history(callbacks=[handler]), open_history()
    await hooked.add_messages([HumanMessage("4711")])
    await plain.add_messages([HumanMessage("4712")])
    assert await messages(plain) == ["***", "4712"]
    assert await messages(hooked) == ["***!", "4712!"]
    assert await messages(open_history(callbacks=[handler], max_messages=1)) == ["4712!"]
    if hooked.mode == "sync":
        assert len(hooked.target) == 2


@server_kinds
@every_kind
async def test_corrupt_entries_are_reported(
    backend: Backend, make_verbs: MakeVerbs, key: SessionKey, kind: Kind, redis_probe: RedisProbe
) -> None:
    """Wherever they are found, by the service's hooks and by those of a call, without content."""
    seen: list[CorruptEventReport] = []
    more: list[CorruptEventReport] = []
    verbs = make_verbs(callbacks=[make_handler(kind, corrupt_event=seen.append)])
    await fill(verbs, 3)
    redis_key = redis_probe.key(f"event:{tag_of(backend)}:ann:s1")
    redis_probe.zadd(redis_key, {b"a secret": NOON + 9e9})
    expected = CorruptEventReport(key, redis_key.decode(), "an entry")
    calls: list[Callable[[], Any]] = [
        lambda: verbs.get_session(key),
        lambda: verbs.get_messages(key, limit=2),
        lambda: verbs.get_events(key),
        lambda: verbs.search_events(key, "m1"),
        lambda: verbs.list_sessions("shop", "ann", include_events=True),
        lambda: verbs.trim_conversations(key),
    ]
    for call in calls:
        await call()
    assert seen == [expected] * len(calls)
    handler = make_handler(kind, corrupt_event=more.append, get_session_start=lambda _: None)
    await verbs.get_session(key, callbacks=[handler])
    assert (len(seen), more) == (len(calls) + 1, [expected])
    assert verbs.service.stats().corrupt_entries == len(calls) + 1
    raising = make_handler(kind, corrupt_event=lambda _: raise_(ValueError("a secret")))
    assert texts(await verbs.get_messages(key, callbacks=[raising])) == ["m0", "m1"]


@one_server
@pytest.mark.parametrize("mode", ["sync"], indirect=True)
@pytest.mark.parametrize("hook", ["get_session_start", "get_session_error", "corrupt_event"])
@pytest.mark.parametrize("verb", READS)
async def test_async_hooks_in_synchronous_calls(
    make_verbs: MakeVerbs, key: SessionKey, verb: str, hook: str
) -> None:
    guard = make_handler("async", "Guard", **{hook: lambda *_: None})
    with pytest.raises(ConfigurationError, match=f"on_{hook} of Guard is async"):
        await getattr(make_verbs(), verb)(key, callbacks=[guard])
