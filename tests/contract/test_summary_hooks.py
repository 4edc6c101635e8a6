"""Hooks of summaries: they see the request and the text, change them, and may refuse."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_redis_session import (
    AsyncSessionCallbackHandler,
    ConfigurationError,
    EventRejectedError,
    GetSessionContext,
    Session,
    SessionCallbackHandler,
    SessionKey,
    SessionSummarizer,
    SummaryContext,
    SummaryError,
)
from tests.contract.backends import RedisProbe, Verbs
from tests.contract.narrow import one_server
from tests.contract.store import make_answer, texts
from tests.integration.scripted import USAGE, ScriptedModel
from tests.waits import PATIENCE_S

pytestmark = one_server


class Recorder(SessionCallbackHandler):
    """Notes what it is called for; `changes` are done in the stages they are named after."""

    def __init__(self, **changes: Callable[[SummaryContext], Any]) -> None:
        self.calls: list[tuple[str, SummaryContext]] = []
        self.errors: list[Exception] = []
        self.changes = changes

    def _note(self, stage: str, context: SummaryContext) -> None:
        self.calls.append((stage, context))
        if stage in self.changes:
            self.changes[stage](context)

    def on_create_summary_start(self, context: SummaryContext) -> None:
        self._note("start", context)

    def on_create_summary_end(self, context: SummaryContext) -> None:
        self._note("end", context)

    def on_create_summary_error(self, context: SummaryContext, error: Exception) -> None:
        self.errors.append(error)
        self._note("error", context)

    @property
    def stages(self) -> list[str]:
        return [stage for stage, _ in self.calls]


MakeSumming = Callable[..., Verbs]


@pytest.fixture
def make_summing(make_verbs: Callable[..., Verbs]) -> MakeSumming:
    def make(*handlers: Any, **options: Any) -> Verbs:
        def summarize(request: Any) -> str:
            return f"{request.previous_summary} {' '.join(texts(request.messages))}".strip()

        defaults: dict[str, Any] = {"summarizer": summarize, "auto_summarize": False}
        return make_verbs(callbacks=list(handlers), **defaults | options)

    return make


async def fill(verbs: Verbs, key: SessionKey, *numbers: int) -> None:
    await verbs.create_session("shop", "ann", "s1")
    await verbs.append_events(key, [make_answer(number) for number in numbers])


async def test_hooks_see_the_messages_the_text_and_the_usage(
    make_summing: MakeSumming, key: SessionKey
) -> None:
    def answer(_: Any) -> AIMessage:
        return AIMessage("the summary", usage_metadata=USAGE)

    recorder = Recorder()
    summarizer = SessionSummarizer(ScriptedModel(answer=answer))
    verbs = make_summing(recorder, summarizer=summarizer)
    await fill(verbs, key, 1, 2)
    await verbs.create_summary(
        key, "b", force=True
    )  # nothing with that filter key: nobody is asked
    assert recorder.stages == []
    summary = await verbs.create_summary(key, force=True)
    assert recorder.stages == ["start", "end"]
    context = recorder.calls[0][1]
    assert (context.key, context.filter_key, context.force) == (key, "", True)
    assert texts(context.request.messages) == ["m1", "m2"]
    assert context.text == summary.text == "the summary"
    assert context.usage == USAGE
    assert context.input_tokens > 2
    assert context.duration_ms is not None
    assert context.duration_ms > 0


async def test_what_hooks_change_is_summarized_and_stored(
    make_summing: MakeSumming, key: SessionKey
) -> None:
    def redact(context: SummaryContext) -> None:
        context.request.messages = [HumanMessage("***")]
        context.request.previous_summary = "before"

    def sign(context: SummaryContext) -> None:
        context.text = f"{context.text}, signed"

    verbs = make_summing(Recorder(start=redact, end=sign), Recorder(end=lambda c: None))
    await fill(verbs, key, 1, 2)
    assert (await verbs.create_summary(key, force=True)).text == "before ***, signed"
    # The boundary is that of what was chosen.
    assert (await verbs.get_summarized_messages(key)).messages == []


@pytest.mark.parametrize("stage", ["start", "end"])
async def test_a_veto_stores_no_summary_and_gives_the_lease_back(
    make_summing: MakeSumming, key: SessionKey, redis_probe: RedisProbe, stage: str
) -> None:
    def refuse(_: SummaryContext) -> None:
        raise ValueError("no")

    first, second = Recorder(), Recorder(**{stage: refuse})
    verbs = make_summing(first, second)
    await fill(verbs, key, 1)
    with pytest.raises(EventRejectedError, match="rejected create_summary") as caught:
        await verbs.create_summary(key, force=True)
    assert isinstance(caught.value.__cause__, ValueError)
    assert await verbs.get_summary(key) is None
    assert not redis_probe.names("sumlease*")
    assert first.stages == ["start", "error"]
    assert verbs.service.stats().hook_vetoes == 1
    second.changes.clear()
    assert (await verbs.create_summary(key, force=True)).text == "m1"


@pytest.mark.parametrize(
    "change", [lambda c: setattr(c, "text", " "), lambda c: setattr(c, "text", None)]
)
async def test_no_text_after_the_hooks(
    make_summing: MakeSumming, key: SessionKey, redis_probe: RedisProbe, change: Any
) -> None:
    verbs = make_summing(Recorder(end=change))
    await fill(verbs, key, 1)
    with pytest.raises((SummaryError, ConfigurationError)):
        await verbs.create_summary(key, force=True)
    assert await verbs.get_summary(key) is None
    assert not redis_probe.names("sumlease*")


async def test_a_failure_is_told(make_summing: MakeSumming, key: SessionKey) -> None:
    def fail(_: Any) -> str:
        raise RuntimeError("out")

    recorder = Recorder()
    verbs = make_summing(recorder, summarizer=fail)
    await fill(verbs, key, 1)
    with pytest.raises(SummaryError) as caught:
        await verbs.create_summary(key, force=True)
    assert recorder.stages == ["start", "error"]
    assert recorder.errors == [caught.value]


async def test_a_summary_that_is_not_stored_is_told(
    make_summing: MakeSumming, key: SessionKey, redis_probe: RedisProbe
) -> None:
    def lose(_: SummaryContext) -> None:
        (lease,) = redis_probe.names("sumlease*")
        redis_probe.unlink(redis_probe.key(lease))

    recorder = Recorder(end=lose)
    verbs = make_summing(recorder)
    await fill(verbs, key, 1)
    with pytest.raises(SummaryError, match="cleared") as caught:
        await verbs.create_summary(key, force=True)
    assert recorder.stages == ["start", "end", "error"]
    assert recorder.errors == [caught.value]


async def test_a_trigger_runs_off_the_event_loop(
    make_summing: MakeSumming, key: SessionKey, mode: str
) -> None:
    threads: list[threading.Thread] = []

    def trigger(_: Any) -> bool:
        threads.append(threading.current_thread())
        return True

    summarizer = SessionSummarizer(ScriptedModel(answer=lambda _: AIMessage("s")), trigger=trigger)
    verbs = make_summing(summarizer=summarizer)
    await fill(verbs, key, 1)
    assert (await verbs.create_summary(key)).text == "s"
    assert (threading.current_thread() in threads) is (mode == "sync")


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        pytest.param(["[calls add]"], "not summarized, .* KeyError", id="for-hooks"),
        pytest.param([], r"not be chosen \(KeyError\)", id="to-choose-events"),
    ],
)
async def test_tokens_that_cannot_be_counted(
    make_summing: MakeSumming,
    key: SessionKey,
    redis_probe: RedisProbe,
    shown: list[str],
    reason: str,
) -> None:
    texts = list(shown)  # what it gives before it fails: events are chosen, then counted for hooks

    def fail(_: Any) -> str:
        if texts:
            return texts.pop()
        raise KeyError("tool")

    recorder = Recorder()
    summarizer = SessionSummarizer(
        ScriptedModel(answer=lambda _: AIMessage("s")), format_tool_call=fail
    )
    verbs = make_summing(recorder, summarizer=summarizer)
    call = {"name": "add", "args": {}, "id": "c1", "type": "tool_call"}
    await fill(verbs, key, 1)
    asking = [AIMessage("", tool_calls=[call]), ToolMessage("2", tool_call_id="c1")]
    # Answered: what still runs is left out of summaries, and so would not be counted.
    await verbs.append_messages(key, [*asking, AIMessage("It is 2.")])
    with pytest.raises(SummaryError, match=reason):
        await verbs.create_summary(key, force=True)
    assert recorder.stages == []
    assert not redis_probe.names("sumlease*")


async def test_async_handlers_are_refused_where_nobody_can_wait(
    make_summing: MakeSumming, key: SessionKey, mode: str
) -> None:
    class Signing(AsyncSessionCallbackHandler):
        async def on_create_summary_end(self, context: SummaryContext) -> None:
            context.text = f"{context.text}, signed"

    # Workers could not wait for them: said now, and not in the log of each job.
    with pytest.raises(
        ConfigurationError, match=r"on_create_summary_end of Signing is async.*auto_summ"
    ):
        make_summing(Signing(), auto_summarize=True)
    verbs = make_summing(Signing())
    await fill(verbs, key, 1)
    with pytest.raises(ConfigurationError, match="acreate_summary"):
        await verbs.enqueue_summary(key, force=True)
    if mode == "async":
        assert (await verbs.create_summary(key, force=True)).text == "m1, signed"
        return
    with pytest.raises(ConfigurationError, match="async"):
        await verbs.create_summary(key, force=True)
    assert await verbs.get_summary(key) is None


async def test_background_jobs_have_them_too(
    make_verbs: Callable[..., Verbs], key: SessionKey, mode: str
) -> None:
    recorder = Recorder(end=lambda c: setattr(c, "text", f"{c.text}, signed"))
    summarizer = SessionSummarizer(ScriptedModel(answer=lambda _: AIMessage("s")))
    if mode == "async":
        return  # the workers use a sync client
    verbs = make_verbs(summarizer=summarizer, callbacks=[recorder])
    await fill(verbs, key, 1)
    await verbs.enqueue_summary(key, force=True)
    assert await verbs.flush(PATIENCE_S)
    assert (await verbs.get_summary(key)).text == "s, signed"


async def test_reads_with_a_summary_have_the_hooks_of_reads(
    make_summing: MakeSumming, make_verbs: Callable[..., Verbs], key: SessionKey
) -> None:
    class Reader(SessionCallbackHandler):
        limit: int | None = 5
        answer: Session | None = None
        seen: list[tuple[str, int | None]]

        def on_get_session_start(self, context: GetSessionContext) -> None:
            context.limit, context.session = self.limit, self.answer

        def on_get_session_end(self, context: GetSessionContext) -> None:
            assert context.session is not None
            self.seen.append((context.method, len(context.session.events)))
            assert context.session.state == {"k": 1}

    reader = Reader()
    reader.seen = []
    verbs = make_summing()
    await fill(verbs, key, 1, 2)
    await verbs.update_session_state(key, {"k": 1})
    summary = await verbs.create_summary(key, force=True)
    await verbs.append_events(key, [make_answer(number) for number in range(3, 9)])
    for limit, asked, expected in ((5, 2, 5), (2, 5, 2), (None, 1, 6)):
        reader.limit = limit
        found = await verbs.get_summarized_messages(key, limit=asked, callbacks=[reader])
        assert found.summary == summary
        assert texts(found.messages) == [f"m{number}" for number in range(9 - expected, 9)]
    assert reader.seen == [("get_summarized_messages", count) for count in (5, 2, 6)]
    # An answer of its own is what the caller gets.
    reader.answer = replace(await verbs.get_session(key, limit=1), summary=None)
    found = await verbs.get_summarized_messages(key, callbacks=[reader])
    assert (found.summary, texts(found.messages)) == (None, ["m8"])
