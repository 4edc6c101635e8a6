"""A history that begins with a summary: what models see, and what is stored."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import Runnable, RunnableLambda

from langchain_redis_session import (
    ConfigurationError,
    GetSessionContext,
    RedisSessionChatMessageHistory,
    SessionCallbackHandler,
    Summary,
)
from tests.conversations import find_fault
from tests.integration.conftest import MakeHistory
from tests.integration.scripted import ScriptedModel, echo
from tests.integration.summarizing import Witness, ids_in, turn

CALL = {"name": "add", "args": {}, "id": "c1", "type": "tool_call"}


def texts(messages: list[BaseMessage]) -> list[str]:
    return [message.text for message in messages]


def stored(history: RedisSessionChatMessageHistory) -> list[str]:
    return texts(history.service.get_messages(history.session_key))


def summarize(history: RedisSessionChatMessageHistory) -> Summary:
    summary = history.service.create_summary(history.session_key, force=True)
    assert summary is not None
    return summary


@pytest.fixture
def make_summarized(make_history: MakeHistory) -> MakeHistory:
    """Make histories with a summarizer that repeats ids, and only when asked to."""

    def make(session_id: str = "s1", **options: Any) -> RedisSessionChatMessageHistory:
        options = {
            "summarizer": Witness.make(1),
            "auto_summarize": False,
            "include_summary": True,
            **options,
        }
        return make_history(session_id, **options)

    return make


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_the_summary_stands_in_front(make_summarized: MakeHistory, mode: str) -> None:
    history = make_summarized()

    async def read() -> list[BaseMessage]:
        return history.messages if mode == "sync" else await history.aget_messages()

    assert await read() == []
    history.add_messages([*turn(0), *turn(1)])
    assert texts(await read()) == [message.text for n in (0, 1) for message in turn(n)]
    summarize(history)
    history.add_messages(turn(2))
    first, *rest = await read()
    assert isinstance(first, SystemMessage)
    assert first.text == "Summary of the conversation so far:\nid0 id1 id2 id3"
    assert texts(rest) == texts(list(turn(2)))
    assert len(stored(history)) == 6 == len(history)
    history.clear()
    assert await read() == []


def test_messages_are_named_for_a_read_and_not_in_what_a_hook_has_kept(
    make_summarized: MakeHistory,
) -> None:
    kept: list[BaseMessage] = []

    class Keeper(SessionCallbackHandler):
        def on_get_session_end(self, context: GetSessionContext) -> None:
            assert context.session is not None
            kept.extend(event.message for event in context.session.events if event.message)

    make_summarized().add_messages([*turn(0), HumanMessage("mine", id="m1")])
    for history in (make_summarized(), make_summarized(callbacks=[Keeper()])):
        read, again = history.messages, history.messages
        assert len({message.id for message in [*read, *again]}) == 5
        assert [message.id for message in read if message.text == "mine"] == ["m1"]
    assert [message.id for message in kept] == [None, None, "m1"] * 2


def test_a_new_message_that_equals_the_last_one_read_is_stored(
    make_summarized: MakeHistory,
) -> None:
    """Though a summary came between two reads, after which what was read is left out."""
    history = make_summarized()
    history.add_messages([HumanMessage("Shall I? id0"), AIMessage("yes")])
    assert len(history.messages) == 2
    summarize(history)
    assert len(history.messages) == 1
    history.add_messages([AIMessage("yes"), AIMessage("I know.")])
    assert stored(history)[-3:] == ["yes", "yes", "I know."]


def test_the_format_can_be_replaced(make_summarized: MakeHistory) -> None:
    for formatter, expected in (
        (lambda summary: f"So far: {summary.text}", SystemMessage("So far: id0 id1")),
        (lambda summary: HumanMessage(summary.text, name="memory"), None),
    ):
        history = make_summarized(format_summary=formatter)
        history.clear()
        history.add_messages(turn(0))
        summarize(history)
        (first,) = history.messages
        assert first == (expected or HumanMessage("id0 id1", name="memory"))


def test_a_format_that_gives_neither(make_summarized: MakeHistory) -> None:
    history = make_summarized(format_summary=lambda _: None)
    history.add_messages(turn(0))
    summarize(history)
    with pytest.raises(ConfigurationError, match="format_summary must give"):
        _ = history.messages


def test_max_messages_keeps_the_summary_and_whole_turns(make_summarized: MakeHistory) -> None:
    history = make_summarized()
    history.add_messages(turn(0))
    summarize(history)
    history.add_messages([*turn(1), *turn(2)])
    summary, *rest = texts(history.messages)
    for most, left in ((9, 4), (5, 4), (4, 2), (3, 2)):
        messages = make_summarized(max_messages=most).messages
        assert texts(messages) == [summary, *rest[4 - left :]]
    as_it_falls = make_summarized(max_messages=4, start_on=None).messages
    assert texts(as_it_falls) == [summary, *rest[1:]]


def test_the_summary_gives_way_before_the_question(make_summarized: MakeHistory) -> None:
    history = make_summarized()
    history.add_messages(turn(0))
    summarize(history)
    history.add_messages([*turn(1), *turn(2)])
    assert texts(make_summarized(max_messages=2).messages) == texts(list(turn(2)))


@pytest.mark.parametrize("kind", [HumanMessage, AIMessage, SystemMessage])
def test_limits_keep_the_summary_whatever_it_is_shown_as(
    make_summarized: MakeHistory, kind: type[BaseMessage]
) -> None:
    def show(summary: Summary) -> BaseMessage:
        return kind(content=summary.text, name="memory")

    def count(messages: list[BaseMessage]) -> int:
        return 10 * len(messages)

    history = make_summarized()
    history.add_messages(turn(0))
    summarize(history)
    history.add_messages([*turn(1), *turn(2)])
    for most, left in ((9, 4), (4, 2), (3, 2)):
        limits: tuple[dict[str, Any], ...] = (
            {"max_messages": most},
            {"max_tokens": 10 * most, "token_counter": count},
        )
        for options in limits:
            first, *rest = make_summarized(format_summary=show, **options).messages
            assert first == kind(content="id0 id1", name="memory")
            assert texts(rest) == [m.text for n in (1, 2) for m in turn(n)][4 - left :]


def test_limits_keep_tool_calls_and_results_together(make_summarized: MakeHistory) -> None:
    history = make_summarized()
    history.add_messages(turn(0))
    summarize(history)
    history.add_messages(
        [
            HumanMessage("2 + 2?"),
            AIMessage("", tool_calls=[CALL]),
            ToolMessage("4", tool_call_id="c1"),
            AIMessage("four"),
        ]
    )
    for most in (4, 3, 2):
        # Without its call the result goes too; the question stays.
        messages = make_summarized(max_messages=most).messages
        assert [m.type for m in messages[-2:]] in (["human", "ai"], ["tool", "ai"])
        assert "2 + 2?" in texts(messages)
        assert not find_fault(messages)
        assert len(messages) <= most
    assert len(make_summarized(max_messages=5).messages) == 5


def test_system_messages_stay_word_for_word_in_front_of_the_summary(
    make_summarized: MakeHistory,
) -> None:
    history = make_summarized()
    history.add_messages([SystemMessage("Be brief."), SystemMessage("Be kind."), *turn(0)])
    summarize(history)
    history.add_messages([*turn(1), SystemMessage("Be quick.")])
    for options in ({}, {"max_messages": 4}):
        first, *rest = make_summarized(**options).messages
        assert isinstance(first, SystemMessage)
        *kept, told = first.text.split("\n\n")
        assert kept == ["Be brief.", "Be kind.", "Be quick."]
        assert told.startswith("Summary of the conversation so far:")
        assert texts(rest) == texts(list(turn(1)))


# --- RunnableWithMessageHistory ------------------------------------------------------------------

history_module = pytest.importorskip("langchain_core.runnables.history")
RunnableWithMessageHistory = history_module.RunnableWithMessageHistory

PROMPT = ChatPromptTemplate.from_messages(
    [("system", "Be brief."), MessagesPlaceholder("history"), ("human", "{question}")]
)
ignore_deprecation = pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")


def make_chain(
    kind: str, model: ScriptedModel, history: RedisSessionChatMessageHistory
) -> tuple[Runnable[Any, Any], Any]:
    """A chain with this history, and what makes an input of a question."""
    if kind == "history_messages_key":
        chain = RunnableWithMessageHistory(
            PROMPT | model,
            lambda: history,
            input_messages_key="question",
            history_messages_key="history",
        )
        return chain, lambda text: {"question": text}
    if kind == "model":
        return RunnableWithMessageHistory(model, lambda: history), HumanMessage
    assert kind == "messages"
    inner = RunnableLambda(lambda messages: messages) | model
    return RunnableWithMessageHistory(inner, lambda: history), HumanMessage


def _stream(chain: Runnable[Any, Any], value: Any) -> None:
    assert len(list(chain.stream(value))) > 1


@ignore_deprecation
@pytest.mark.parametrize("kind", ["history_messages_key", "model", "messages"])
@pytest.mark.parametrize("mode", ["sync", "async", "stream", "astream"])
async def test_a_summary_lands_in_the_middle_of_a_run(
    make_summarized: MakeHistory, kind: str, mode: str
) -> None:
    """No message is lost, none is stored twice, and no summary becomes a message."""
    history = make_summarized()
    lands = [False]

    def answer(messages: list[BaseMessage]) -> AIMessage:
        if lands[0]:
            summarize(history)
        return echo(messages)

    chain, make_input = make_chain(kind, ScriptedModel(answer=answer), history)
    questions = [f"question id{number}?" for number in range(8)]
    # In the middle of: one with a short history, one behind a summary, two in a row.
    landings = {1, 2, 4, 5}
    for number, question in enumerate(questions):
        lands[0] = number in landings
        if mode == "sync":
            await asyncio.to_thread(chain.invoke, make_input(question))
        elif mode == "async":
            await chain.ainvoke(make_input(question))
        elif mode == "stream":
            await asyncio.to_thread(_stream, chain, make_input(question))
        else:
            assert [chunk async for chunk in chain.astream(make_input(question))]
        kept = stored(history)
        assert kept[::2] == questions[: number + 1]
        assert len(kept) == 2 * (number + 1)
    summary = history.service.get_summary(history.session_key)
    assert summary is not None
    assert ids_in(summary.text) == [f"id{number}" for number in range(5)]
    assert [m.type for m in history.messages] == ["system", *["human", "ai"] * 3]


@ignore_deprecation
def test_the_same_words_again_are_a_message_again(make_summarized: MakeHistory) -> None:
    """What only looks like something that was read is not dropped."""
    history = make_summarized()
    history.add_messages([AIMessage("hi id7")])
    assert len(history.messages) == 1
    summarize(history)
    assert len(history.messages) == 1
    history.add_messages([AIMessage("hi id7"), AIMessage("hello")])
    assert stored(history) == ["hi id7", "hi id7", "hello"]
    # Nor other words, however many.
    assert len(history.messages) == 3
    summarize(history)
    assert len(history.messages) == 1
    history.add_messages([HumanMessage("four"), AIMessage("other"), HumanMessage("words")])
    assert stored(history)[3:] == ["four", "other", "words"]
    # Nor what is put back on purpose, as here, where no summary has come.
    old = history.messages
    removed = history.service.trim_conversations(history.session_key, count=1)
    assert len(old) == len(history.messages) + len(removed)
    history.add_messages([*old[-len(removed) :], HumanMessage("new")])
    assert stored(history)[3:] == ["four", "other", "words", "new"]
    # Or where everything was cleared.
    history.add_messages(turn(0))
    old = history.messages
    history.clear()
    assert history.messages == []
    history.add_messages([*old, HumanMessage("new")])
    assert len(stored(history)) == len(old) + 1


def test_what_another_run_has_read_is_not_dropped(make_summarized: MakeHistory) -> None:
    """Runs with a history_messages_key read once each."""
    history = make_summarized()
    history.add_messages([AIMessage("More?"), HumanMessage("yes id1")])
    assert len(history.messages) == 2
    history.add_messages([AIMessage("More?")])
    summarize(history)
    assert len(history.messages) == 1
    history.add_messages([HumanMessage("yes id1"), AIMessage("Enough.")])
    assert stored(history)[-2:] == ["yes id1", "Enough."]
    assert len(stored(history)) == 5


def test_only_what_was_read_is_left_out(make_summarized: MakeHistory) -> None:
    history = make_summarized()
    history.add_messages([*turn(0), AIMessage("and?")])
    assert len(history.messages) == 3
    summarize(history)
    assert len(history.messages) == 1
    history.add_messages([HumanMessage("x"), AIMessage("y"), HumanMessage("z")])
    assert stored(history)[3:] == ["x", "y", "z"]


def test_a_history_that_was_trimmed_takes_the_same_again(make_summarized: MakeHistory) -> None:
    """Fewer messages than before, but no summary in their place."""
    history = make_summarized()
    history.add_messages([*turn(0), *turn(1)])
    assert len(history.messages) == 4
    history.service.trim_conversations(history.session_key)
    assert len(history.messages) == 2
    history.add_messages([*turn(1), HumanMessage("new")])
    assert len(stored(history)) == 5


def test_histories_made_alike_share_a_service(make_summarized: MakeHistory) -> None:
    witness = Witness.make(1)
    first, second = (
        make_summarized("a", summarizer=witness),
        make_summarized("b", summarizer=witness),
    )
    assert first.service is second.service
    assert make_summarized("a").service is not first.service
