"""What a limited or summarized history gives a model: windows that every provider accepts."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel
from langchain_core.load import dumps, loads
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables.history import RunnableWithMessageHistory

from langchain_redis_session import (
    GetSessionContext,
    RedisSessionChatMessageHistory,
    RedisSessionService,
    SessionCallbackHandler,
    SessionKey,
    SessionSummarizer,
    SummaryRequest,
    any_of,
    event_threshold,
    token_threshold,
)
from tests.conversations import OPTIONS, calling, conversations, find_fault, result
from tests.integration.conftest import MakeHistory
from tests.integration.scripted import ScriptedModel
from tests.waits import PATIENCE_S


def texts(messages: list[BaseMessage]) -> str:
    return " ".join(message.text or message.type for message in messages)


@pytest.fixture(autouse=True)
def _ignore_exceeded() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the last user message")
        yield


def summarize(request: SummaryRequest) -> str:
    return f"{len(request.messages)} messages"


LONG_TURN: list[BaseMessage] = [
    SystemMessage("s1"),
    HumanMessage("h1"),
    AIMessage("a1"),
    HumanMessage("h2"),
    *(m for n in range(50) for m in (calling(f"c{n}", text=f"call{n}"), result(f"c{n}", f"r{n}"))),
]


async def read_both(history: RedisSessionChatMessageHistory) -> list[BaseMessage]:
    messages = history.messages
    assert texts(await history.aget_messages()) == texts(messages)
    return messages


async def test_a_turn_that_is_longer_than_the_limit_keeps_its_question(
    make_history: MakeHistory,
) -> None:
    make_history().add_messages(LONG_TURN)
    for most, expected in (
        (7, "s1 h2 call48 r48 call49 r49"),
        (4, "s1 h2 call49 r49"),
        (1, "s1 h2 call49 r49"),  # at least the last message, with its call
    ):
        assert texts(await read_both(make_history(max_messages=most))) == expected


async def test_a_window_begins_at_a_user_message_unless_told_otherwise(
    make_history: MakeHistory,
) -> None:
    talk = [HumanMessage("h1"), AIMessage("a1"), HumanMessage("h2"), AIMessage("a2")]
    make_history().add_messages(talk)
    assert texts(await read_both(make_history(max_messages=3))) == "h2 a2"
    assert texts(await read_both(make_history(max_messages=3, start_on=None))) == "a1 h2 a2"


async def test_a_greeting_stays_where_nothing_was_cut_off(make_history: MakeHistory) -> None:
    make_history().add_messages([AIMessage("a0"), HumanMessage("h1"), AIMessage("a1")])
    assert texts(await read_both(make_history(max_messages=3))) == "a0 h1 a1"
    assert texts(await read_both(make_history(max_messages=2))) == "h1 a1"


async def test_a_greeting_goes_where_retention_has_removed_what_was_before_it(
    make_history: MakeHistory,
) -> None:
    limited = make_history(session_event_limit=3, max_messages=9)
    limited.add_messages([HumanMessage("h0"), AIMessage("a0"), HumanMessage("h1"), AIMessage("a1")])
    assert texts(await read_both(limited)) == "h1 a1"


async def test_system_messages_that_the_session_begins_with_stay_in_front(
    make_history: MakeHistory,
) -> None:
    front = [SystemMessage("s1"), SystemMessage("s2")]
    talk = [m for n in range(20) for m in (HumanMessage(f"h{n}"), AIMessage(f"a{n}"))]
    make_history().add_messages([*front, *talk, SystemMessage("s3")])
    for most, expected in ((5, "s1 s2 s3 h19 a19"), (41, "s1 s2 s3 h1 a1"), (43, "s1 s2 s3 h0")):
        window = await read_both(make_history(max_messages=most))
        assert texts(window).startswith(expected)
        assert len(window) <= most


async def test_a_session_without_a_user_message_begins_at_no_result(
    make_history: MakeHistory,
) -> None:
    make_history().add_messages(
        [calling("c0", text="call0"), result("c0", "r0"), calling("c1", text="call1")]
    )
    make_history().add_messages([result("c1", "r1")])
    assert texts(await read_both(make_history(max_messages=3))) == "call1 r1"
    assert texts(await read_both(make_history(max_messages=1))) == "call1 r1"


@pytest.mark.parametrize("include_summary", [False, True])
def test_a_limited_read_goes_once_and_looks_back_only_where_it_has_to(
    make_history: MakeHistory, include_summary: bool
) -> None:
    history = make_history(max_messages=10, include_summary=include_summary)

    def count_round_trips() -> int:
        before = history.service.stats().round_trips
        assert history.messages
        return history.service.stats().round_trips - before

    history.add_messages([SystemMessage("s1"), *[HumanMessage("h"), AIMessage("a")] * 50])
    count_round_trips()  # loads the scripts
    assert count_round_trips() == 1
    history.add_messages(LONG_TURN[4:])
    count_round_trips()
    assert count_round_trips() == 3


# --- Calls without a result ----------------------------------------------------------------------

CRASHED = [HumanMessage("h1"), calling("c1", text="call1"), HumanMessage("h2")]


async def test_an_open_call_is_answered_for_a_model_and_kept_with_a_warning_elsewhere(
    make_history: MakeHistory,
) -> None:
    make_history().add_messages(CRASHED)
    for options in ({"max_messages": 9}, {"max_tokens": 999}, {"include_summary": True}):
        window = await read_both(make_history(**options))
        assert [message.type for message in window] == ["human", "ai", "tool", "human"]
    with pytest.warns(UserWarning, match='open_tool_calls="answer"') as caught:
        assert texts(make_history().messages) == "h1 call1 h2"
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match='open_tool_calls="answer"'):
        await make_history().aget_messages()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=UserWarning)
        for how, expected in (("keep", 3), ("drop", 3), ("answer", 4)):
            assert len(await read_both(make_history(open_tool_calls=how))) == expected
            assert len(await read_both(make_history(open_tool_calls=how, max_messages=9))) == (
                expected
            )


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
@pytest.mark.parametrize("copies", [False, True])
async def test_an_answer_made_for_an_open_call_is_never_stored(
    make_history: MakeHistory, copies: bool
) -> None:
    history = make_history(max_messages=9)
    history.add_messages(CRASHED)
    window = history.messages
    if copies:
        window = [loads(dumps(message), allowed_objects="messages") for message in window]
    assert len(window) == 4
    history.clear()
    history.add_messages(window[:3])
    await history.aadd_messages(window[2:])
    history.service.append_messages(history.session_key, window[2:3])
    assert len(history) == 3
    assert texts(history.service.get_messages(history.session_key)) == texts(CRASHED)


async def test_read_methods_close_open_calls_when_asked_to(make_history: MakeHistory) -> None:
    history = make_history(summarizer=summarize, auto_summarize=False)
    service, key = history.service, history.session_key
    history.add_messages([HumanMessage("h0"), AIMessage("a0")])
    service.create_summary(key, force=True)
    assert service.get_summarized_messages(key).is_cut
    history.add_messages(CRASHED)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=UserWarning)
        for how, expected in (("keep", 3), ("drop", 3), ("answer", 4)):
            read: Any = {"limit": 3, "open_tool_calls": how}
            assert len(service.get_messages(key, **read)) == expected
            assert len(await service.aget_messages(key, **read)) == expected
            found = service.get_summarized_messages(key, **read)
            assert found == await service.aget_summarized_messages(key, **read)
            assert len(found.messages) == expected
            assert found.summary is not None
            assert found.is_cut
    assert not service.get_summarized_messages(SessionKey("a", "b", "none")).is_cut


# --- Hooks ---------------------------------------------------------------------------------------


class Redactor(SessionCallbackHandler):
    def on_get_session_end(self, context: GetSessionContext) -> None:
        for event in context.session.events if context.session else ():
            assert event.message is not None
            event.message.content = event.message.text.upper()


@pytest.mark.parametrize("include_summary", [False, True])
async def test_hooks_see_all_that_a_window_is_made_of(
    make_history: MakeHistory, include_summary: bool
) -> None:
    make_history().add_messages(LONG_TURN)
    options: dict[str, Any] = {"max_messages": 4, "include_summary": include_summary}
    plain = make_history(**options).messages
    hooked = await make_history(callbacks=[Redactor()], **options).aget_messages()
    assert texts(hooked) == texts(plain).upper()


# --- Whatever was said ---------------------------------------------------------------------------


def count(messages: list[BaseMessage]) -> int:
    return sum(5 + len(message.text) // 4 for message in messages)


def check_windows(
    service: RedisSessionService,
    session_id: str,
    old: list[BaseMessage],
    new: list[BaseMessage],
    options: dict[str, Any],
) -> None:
    history = RedisSessionChatMessageHistory(
        session_id, service=service, token_counter=count, **options
    )
    history.clear()
    history.add_messages(old)
    summary = service.create_summary(history.session_key, force=True) if old else None
    history.add_messages(new)
    is_summarized = summary is not None and options["include_summary"]
    seen = new if is_summarized else [*old, *new]
    if not (options["max_messages"] or options["max_tokens"] or options["include_summary"]):
        return
    for how in ("answer", "drop"):
        history = RedisSessionChatMessageHistory(
            session_id, service=service, token_counter=count, open_tool_calls=how, **options
        )
        window = history.messages
        assert not find_fault(window), window
        questions = [m.text for m in seen if isinstance(m, HumanMessage)]
        if questions:
            assert questions[-1] in [m.text for m in window if isinstance(m, HumanMessage)]
        elif any(isinstance(m, AIMessage) and m.text for m in seen[-1:]):
            assert any(isinstance(m, AIMessage) for m in window)


# --- Summaries at any moment ---------------------------------------------------------------------


async def test_a_summary_leaves_system_messages_in_front_of_it(make_history: MakeHistory) -> None:
    history = make_history(include_summary=True, summarizer=summarize, auto_summarize=False)
    turn = [HumanMessage("h"), AIMessage("a")]
    for number in range(3):
        history.add_messages([SystemMessage(f"s{number}"), *turn])
        history.service.create_summary(history.session_key, force=True)
    history.add_messages([HumanMessage("h3"), SystemMessage("s3")])
    first, *rest = await read_both(history)
    assert (
        first.text == "s0\n\ns1\n\ns2\n\ns3\n\n" + "Summary of the conversation so far:\n2 messages"
    )
    assert texts(rest) == "h3"


async def test_a_pasted_message_stays_however_long_it_is(make_history: MakeHistory) -> None:
    summarizer = SessionSummarizer(
        FakeListChatModel(responses=["a summary"]), trigger=token_threshold(4000)
    )
    history = make_history(include_summary=True, summarizer=summarizer)
    for pasted in (HumanMessage("x" * 24_000), ChatMessage(content="y" * 24_000, role="user")):
        history.add_messages([pasted])
        history.service.enqueue_summary(history.session_key, force=True)
        assert history.service.flush(PATIENCE_S)
        assert (await read_both(history))[-1].text == pasted.text
        history.add_messages([AIMessage("I see.")])
        assert history.service.flush(PATIENCE_S)
    assert texts(history.messages) == "Summary of the conversation so far:\na summary"


async def test_a_chat_message_of_a_user_begins_a_window(make_history: MakeHistory) -> None:
    asked = [ChatMessage(content=f"h{n}", role="user") for n in range(3)]
    make_history().add_messages([m for a in asked for m in (a, AIMessage("a"))])
    assert texts(await read_both(make_history(max_messages=3))) == "h2 a"


@pytest.mark.parametrize(("skip_recent", "turns"), [(2, 200), (0, 40)])
def test_an_agent_of_200_turns_always_sees_the_question(skip_recent: int, turns: int) -> None:
    """With the settings of docs/summaries.md, and without its `skip_recent`."""
    summarizer = SessionSummarizer(
        FakeListChatModel(responses=["The user asked for much."]),
        trigger=any_of(event_threshold(18), token_threshold(4000)),
        skip_recent=skip_recent,
        max_summary_words=200,
    )
    history = RedisSessionChatMessageHistory(
        f"agent{skip_recent}", "memory://agents", include_summary=True, summarizer=summarizer
    )

    def ask(*said: BaseMessage) -> list[str]:
        history.add_messages(said)
        assert history.service.flush(PATIENCE_S)
        return [m.text for m in history.messages if isinstance(m, HumanMessage)]

    missing = 0
    for turn in range(turns):
        question = f"question {turn} " + "x" * (24_000 if turn % 50 == 7 else 200)
        missing += question not in ask(HumanMessage(question))
        for number in range(turn % 3):
            call_id = f"c{turn}-{number}"
            history.add_messages([calling(call_id)])
            missing += question not in ask(result(call_id, "r" * 1500))
        history.add_messages([AIMessage("answer")])
    assert missing == 0
    stats = history.service.stats().summaries
    assert stats is not None
    assert stats.made > 3


@given(conversations(most=20), OPTIONS, st.sets(st.integers(1, 20), max_size=3))
def test_whenever_summaries_are_made_every_window_is_accepted(
    messages: list[BaseMessage], options: dict[str, Any], moments: set[int]
) -> None:
    history = RedisSessionChatMessageHistory(
        "moments", service=_service, token_counter=count, **{**options, "include_summary": True}
    )
    whole = RedisSessionChatMessageHistory("moments", service=_service, include_summary=True)
    history.clear()
    for place, message in enumerate(messages, start=1):
        history.add_messages([message])
        if place in moments:
            _service.create_summary(history.session_key, force=True)
        window = history.messages
        assert not find_fault(window), window
        said = [m for m in messages[:place] if not isinstance(m, SystemMessage)]
        questions = [m.text for m in said if isinstance(m, HumanMessage)]
        turn = said[
            max((n for n, m in enumerate(said) if isinstance(m, HumanMessage)), default=0) :
        ]
        is_answered = any(isinstance(m, AIMessage) and not find_calls(m) for m in turn)
        if questions and not is_answered:
            assert questions[-1] in [m.text for m in window if isinstance(m, HumanMessage)]
        for stored in messages[:place]:
            if isinstance(stored, SystemMessage):
                assert any(
                    stored.text in shown.text
                    for shown in whole.messages
                    if isinstance(shown, SystemMessage)
                )


def find_calls(message: AIMessage) -> list[Any]:
    return [*message.tool_calls, *message.invalid_tool_calls]


# --- Chains --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")
@pytest.mark.parametrize("how", ["answer", "drop"])
@pytest.mark.parametrize("is_limited", [True, False])
async def test_a_chain_s_question_stands_behind_no_open_call(
    make_history: MakeHistory, how: Any, is_limited: bool
) -> None:
    options = {"max_messages": 9} if is_limited else {}
    history = make_history(open_tool_calls=how, **options)
    model = ScriptedModel()
    named: dict[str, Any] = {"input_messages_key": "q", "history_messages_key": "h"}
    for keys in (named, {}):
        prompt = ChatPromptTemplate([MessagesPlaceholder("h"), ("human", "{q}")]) if keys else None
        runnable = prompt | model if prompt else model
        chain = RunnableWithMessageHistory(runnable, lambda: history, **keys)
        value: Any = {"q": "well?"} if keys else [HumanMessage("well?")]
        for is_async in (False, True) if sys.version_info >= (3, 11) else (False,):
            history.clear()
            history.add_messages([HumanMessage("h1"), calling("c1", "c2"), result("c1")])
            # It may be running, for whoever else reads.
            assert [m.type for m in history.messages] == ["human", "ai", "tool"]
            await chain.ainvoke(value) if is_async else chain.invoke(value)
            sent = model.prompts[-1]
            assert not find_fault(sent, may_be_running=False), sent
            assert sent[-1].text == "well?"
            assert [m.type for m in history.service.get_messages(history.session_key)] == (
                ["human", "ai", "tool", "human", "ai"]
            )


_service = RedisSessionService("memory://windows", summarizer=summarize, auto_summarize=False)


@given(conversations(), conversations(), OPTIONS)
def test_whatever_was_said_every_window_is_accepted(
    old: list[BaseMessage], new: list[BaseMessage], options: dict[str, Any]
) -> None:
    check_windows(_service, "any", old, new, options)


def test_windows_are_accepted_on_a_server_too(make_history: MakeHistory) -> None:
    service = make_history(summarizer=summarize, auto_summarize=False).service
    for most in (None, 1, 2, 3, 5):
        for tokens in (None, 1, 30):
            options = {"max_messages": most, "max_tokens": tokens, "include_summary": True}
            check_windows(service, "any", LONG_TURN[:6], LONG_TURN[6:9], options)
            check_windows(service, "any", CRASHED, [result("c1"), *CRASHED], options)
