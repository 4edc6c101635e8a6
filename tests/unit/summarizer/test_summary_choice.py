"""Which of a session's events are summarized now."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_redis_session import (
    ConfigurationError,
    Event,
    Session,
    SessionSummarizer,
    event_threshold,
)
from langchain_redis_session.models import list_messages
from tests.integration.scripted import ScriptedModel
from tests.unit.summaries import calling, make_session, make_summary, result

HUMAN, AI, SYSTEM = HumanMessage("q"), AIMessage("a"), SystemMessage("s")
PROMPT = "{previous_summary} {conversation_text}"


def choose(session: Session, **options: Any) -> int:
    """Choose events, make sure that they are the first ones, and give their number."""
    events = SessionSummarizer(ScriptedModel(), **options).choose_events(session)
    assert events == session.events[: len(events)]
    return len(events)


def invalid_call(call_id: str) -> AIMessage:
    call = {"name": "add", "args": "{", "id": call_id, "error": None, "type": "invalid_tool_call"}
    return AIMessage("", invalid_tool_calls=[call])


R1_R2 = Event(result("c1"), further_messages=(result("c2"),))


@pytest.mark.parametrize(
    ("events", "chosen"),
    [
        ([], 0),
        ([HUMAN, AI, HUMAN, AI], 4),
        ([AI, AI], 2),
        # Without a message, there is nothing to tell.
        ([None, None], 0),
        ([None, AI, None], 3),
        ([SYSTEM, SYSTEM], 0),
        ([SYSTEM, HUMAN, AI, SYSTEM], 4),
        # Turns with calls that wait for results are left for later, with what follows them.
        ([calling("c1")], 0),
        ([None, calling("c1")], 0),
        ([AI, calling("c1"), None, AI], 1),
        ([HUMAN, AI, calling("c1"), None, AI], 0),
        ([HUMAN, AI, HUMAN, AI, calling("c1"), None, AI], 2),
        ([HUMAN, calling("c1", "c2"), None, R1_R2, AI], 5),
        ([HUMAN, AI, HUMAN, calling("c1", "c2", "c3"), R1_R2, AI], 2),
        # A user went on without the results, so they won't come.
        ([HUMAN, calling("c1"), HUMAN], 2),
        ([HUMAN, calling("c1", "c2"), result("c1"), HUMAN, AI], 5),
        ([HUMAN, calling("c1"), ChatMessage(content="q", role="user"), AI], 4),
        ([HUMAN, calling("c1"), ChatMessage(content="q", role="critic"), AI], 0),
        ([HUMAN, calling("c1"), HUMAN, calling("c2")], 2),
        # Results whose call was in an earlier summary.
        ([result("c1"), AI], 2),
        # Ids that are used again.
        ([calling("c1"), result("c1"), calling("c1"), AI], 2),
        ([calling("c1"), calling("c1"), result("c1"), AI], 4),
        ([calling("c1", "c1"), result("c1"), AI], 0),
        ([calling("c1", "c1"), result("c1"), result("c1"), AI], 4),
        # Calls without an id.
        ([HUMAN, calling(None), result(""), AI], 4),
        ([AI, calling(None, None), result(""), AI], 1),
        # A call that can't be read may get no result.
        ([HUMAN, invalid_call("c1"), AI], 3),
    ],
)
def test_calls_stay_with_their_results(events: list[Any], chosen: int) -> None:
    assert choose(make_session(events)) == chosen


@pytest.mark.parametrize(
    "running",
    [
        [HUMAN],
        [HUMAN, None],
        [HUMAN, SYSTEM],
        [ChatMessage(content="q", role="user")],
        [HUMAN, calling("c1")],
        [HUMAN, invalid_call("c1")],
        [HUMAN, calling("c1"), result("c1")],
        [HUMAN, calling("c1", "c2"), result("c2"), None],
        [HUMAN, calling("c1", "c2"), R1_R2],
        [HUMAN, calling("c1"), result("c1"), calling("c2"), result("c2")],
        [HUMAN, AI, calling("c1"), result("c1"), SYSTEM],
    ],
)
def test_a_turn_without_a_final_answer_is_left_whole(running: list[Any]) -> None:
    events = [*before(), *running]
    assert choose(make_session(events)) == len(before())
    assert choose(make_session(running)) == 0
    is_due = event_threshold(len(before()) + 1)
    summarizer = SessionSummarizer(ScriptedModel(), trigger=is_due)
    assert not summarizer.should_summarize(make_session(events))
    if not any(isinstance(message, AIMessage) for message in running):
        assert summarizer.should_summarize(make_session([*events, AI]))


@pytest.mark.parametrize("result_event", [result("c1"), R1_R2])
def test_without_a_user_message_the_last_call_is_left_with_its_results(result_event: Any) -> None:
    ids = ["c1"] if result_event is not R1_R2 else ["c1", "c2"]
    assert choose(make_session([AI, calling(*ids), result_event])) == 1
    assert choose(make_session([calling(*ids), result_event])) == 0


def before() -> list[Any]:
    """A turn that has ended."""
    return [HUMAN, calling("c1"), result("c1"), AI]


def test_system_messages_are_not_told_to_the_summarizer() -> None:
    session = make_session([SYSTEM, HUMAN, AI, SYSTEM])
    request = SessionSummarizer(ScriptedModel()).make_request(session)
    assert request.messages == [HUMAN, AI]
    assert request.session is not None
    assert len(request.session.events) == 4


@pytest.mark.parametrize(
    ("events", "skip", "chosen"),
    [
        ([HUMAN, AI, HUMAN, AI], 2, 2),
        ([HUMAN, AI, HUMAN, AI], 4, 0),
        ([HUMAN, AI], 9, 0),
        # Whole turns.
        ([HUMAN, AI, HUMAN, AI], 1, 2),
        ([HUMAN, AI, HUMAN, AI], 3, 0),
        ([HUMAN, AI, HUMAN, calling("c1"), result("c1"), AI], 1, 2),
        ([HUMAN, AI, ChatMessage(content="q", role="user"), None, AI], 1, 2),
        ([HUMAN, AI, HUMAN, calling("c1"), HUMAN, result("c1"), AI], 2, 3),
        # Where no user message begins the turn, back to before the calls.
        ([AI, calling("c1"), result("c1"), AI], 1, 3),
        ([AI, calling("c1"), result("c1"), AI], 2, 1),
        ([AI, calling("c1"), None, result("c1"), AI], 3, 1),
        ([AI, calling("c1", "c2"), result("c1"), result("c2")], 1, 1),
        ([AI, calling("c1"), calling("c2"), result("c2"), result("c1")], 1, 1),
        ([AI, calling("c1"), calling("c2"), result("c1"), result("c2")], 1, 1),
        ([AI, invalid_call("c1"), result("c1")], 1, 1),
        ([calling("c1"), result("c1"), result("c1")], 1, 0),
        ([HUMAN, AI, HUMAN, AI], lambda events: len(events) // 2, 2),
    ],
)
def test_recent_events_are_left(events: list[Any], skip: Any, chosen: int) -> None:
    assert choose(make_session(events), skip_recent=skip) == chosen


def test_the_function_for_recent_events_sees_them_and_can_not_change_them() -> None:
    session = make_session([AI, AI, AI])

    def skip_recent(events: list[Event]) -> int:
        assert events == session.events
        events.clear()
        return 1

    assert choose(session, skip_recent=skip_recent) == 2


@pytest.mark.parametrize("skip", [-1, 1.5, None, "1", True])
def test_a_wrong_number_of_recent_events_is_refused(skip: Any) -> None:
    with pytest.raises(ConfigurationError, match="what skip_recent returns must be a whole"):
        choose(make_session([HUMAN]), skip_recent=lambda _: skip)
    with pytest.raises(ConfigurationError, match="skip_recent must be"):
        SessionSummarizer(ScriptedModel(), skip_recent=skip)


def count_words(messages: list[BaseMessage]) -> int:
    return sum(len(message.text.split()) for message in messages)


class Counter:
    """Counts words, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, messages: list[BaseMessage]) -> int:
        self.asked += 1
        return count_words(messages)


def test_the_oldest_part_that_fits_is_chosen() -> None:
    # "Assistant: w w w w" is five words.
    session = make_session([AIMessage("w w w w")] * 100)
    options: dict[str, Any] = {"prompt": PROMPT, "token_counter": count_words}
    assert choose(session, max_input_tokens=54, **options) == 10
    assert choose(session, max_input_tokens=55, **options) == 11
    assert choose(session, max_input_tokens=500, **options) == 100
    # The last summary needs room as well.
    session = make_session(session.events, make_summary("one two three"))
    assert choose(session, max_input_tokens=54, **options) == 10
    assert choose(session, max_input_tokens=52, **options) == 9


def test_few_counts_are_made() -> None:
    counter = Counter()
    summarizer = SessionSummarizer(
        ScriptedModel(), prompt=PROMPT, token_counter=counter, max_input_tokens=40
    )
    counter.asked = 0
    assert len(summarizer.choose_events(make_session([AI] * 20))) == 20
    assert counter.asked == 1
    assert len(summarizer.choose_events(make_session([AI] * 1000))) == 20
    assert counter.asked <= 1 + 1 + 10


def test_a_message_that_is_too_large_by_itself_is_cut_and_leaves_room_for_others() -> None:
    large = AIMessage("w " * 1000)
    options: dict[str, Any] = {
        "prompt": PROMPT,
        "token_counter": count_words,
        "max_input_tokens": 50,
    }
    assert choose(make_session([large, AI, AI]), **options) == 3
    assert choose(make_session([AI, large, AI]), **options) == 3
    assert choose(make_session([large] * 9), **options) == 2
    calls = [HUMAN, calling("c1"), ToolMessage("w " * 1000, tool_call_id="c1"), AI]
    assert choose(make_session(calls), **options) == 4


class Profiled(ScriptedModel):
    """A model that says how much it takes, with older versions of langchain-core too."""

    profile: Any = None


def test_the_limit_comes_from_the_model_s_profile() -> None:
    session = make_session([AIMessage("x" * 4000)] * 10)  # about 1000 tokens each
    model = Profiled(profile={"max_input_tokens": 10_000})
    assert len(SessionSummarizer(model).choose_events(session)) == 4
    assert len(SessionSummarizer(model.bind(stop=["."])).choose_events(session)) == 4
    assert len(SessionSummarizer(model.with_retry()).choose_events(session)) == 4
    larger = SessionSummarizer(model, max_input_tokens=8_000)
    assert len(larger.choose_events(session)) == 7


@pytest.mark.parametrize("profile", [None, {}, {"max_input_tokens": 0}])
def test_without_a_profile_a_prompt_has_12000_tokens(profile: Any) -> None:
    session = make_session([AIMessage("x" * 4000)] * 100)  # about 1000 tokens each
    assert len(SessionSummarizer(Profiled(profile=profile)).choose_events(session)) == 11
    assert choose(session, max_input_tokens=200_000) == 100


# Random sessions. Words count as tokens, and each message has its own, so that it can be
# found in the prompts.


@st.composite
def sessions(draw: st.DrawFn) -> list[Event]:
    """Turns with calls in parallel, state changes between, results in any order or missing."""
    number = count()

    def text() -> str:
        return " ".join(f"w{next(number)}" for _ in range(draw(st.integers(1, 8))))

    events: list[Event] = []

    def add(message: BaseMessage | None) -> None:
        if draw(st.integers(0, 3)) == 0:
            events.append(Event())
        events.append(Event(message))

    for _ in range(draw(st.integers(0, 5))):
        add(HumanMessage(text()))
        for _ in range(draw(st.integers(0, 2))):
            ids = [f"c{next(number)}" for _ in range(draw(st.integers(1, 3)))]
            add(calling(*ids, text=text()))
            answered = draw(st.lists(st.sampled_from(ids), unique=True, max_size=3))
            if draw(st.booleans()):
                answered = draw(st.permutations(ids))
            for call_id in answered:
                same_event = draw(st.booleans()) and bool(events[-1].message)
                if same_event and isinstance(events[-1].message, ToolMessage):
                    events[-1].further_messages += (result(call_id, text()),)
                else:
                    add(result(call_id, text()))
        if draw(st.booleans()):
            add(AIMessage(text()))
    return events


def pairs_of(events: list[Event]) -> list[tuple[int, int]]:
    """Where each result is and its call; ids are unique here."""
    calls = {
        call["id"]: place
        for place, event in enumerate(events)
        if isinstance(event.message, AIMessage)
        for call in event.message.tool_calls
    }
    return [
        (calls[message.tool_call_id], place)
        for place, event in enumerate(events)
        for message in (event.message, *event.further_messages)
        if isinstance(message, ToolMessage)
    ]


def waiting_of(events: list[Event]) -> int:
    """The first place with a call that waits for a result; the end if there is none."""
    answered = {
        message.tool_call_id
        for message in list_messages(events)
        if isinstance(message, ToolMessage)
    }
    last_human = max(
        (i for i, event in enumerate(events) if isinstance(event.message, HumanMessage)),
        default=-1,
    )
    return next(
        (
            place
            for place, event in enumerate(events)
            if place > last_human
            and isinstance(event.message, AIMessage)
            and any(call["id"] not in answered for call in event.message.tool_calls)
        ),
        len(events),
    )


def end_of_turns(events: list[Event]) -> int:
    """Where the turn begins that runs, or waits for results; the end if none does."""
    waiting = waiting_of(events)
    messages = list_messages(events)
    is_running = messages and not (isinstance(messages[-1], AIMessage) and waiting == len(events))
    if not is_running:
        return len(events)
    if messages and not isinstance(messages[-1], AIMessage):
        waiting = min(waiting, len(events) - 1)
    if messages and isinstance(messages[-1], AIMessage) and messages[-1].tool_calls:
        waiting = min(waiting, len(events) - 1)
    return next(place for place in range(waiting, -1, -1) if is_question(events[place]))


def is_question(event: Event) -> bool:
    return isinstance(event.message, HumanMessage)


def ends_of(events: list[Event], most: int) -> list[int]:
    """Where a summary may end, said in another way than the code does."""
    pairs = pairs_of(events)
    return [
        end
        for end in range(1, min(most, end_of_turns(events)) + 1)
        if any(event.message for event in events[:end])
        and not any(call < end <= answer for call, answer in pairs)
    ]


@given(sessions(), st.integers(0, 6), st.integers(24, 90))
def test_the_longest_prefix_that_parts_no_pair_and_fits(
    events: list[Event], skip: int, limit: int
) -> None:
    summarizer = SessionSummarizer(
        ScriptedModel(),
        prompt=PROMPT,
        token_counter=count_words,
        max_input_tokens=limit,
        skip_recent=skip,
    )
    session = make_session(events)
    chosen = summarizer.choose_events(session)
    assert chosen == events[: len(chosen)]
    unlimited = SessionSummarizer(ScriptedModel(), prompt=PROMPT, token_counter=count_words)

    def size(end: int) -> int:
        return unlimited.count_input_tokens(unlimited.make_request(session, events[:end]))

    most = max(0, len(events) - skip)
    if most < len(events) and (begins := [i for i in range(most + 1) if is_question(events[i])]):
        most = begins[-1]
    ends = ends_of(events, most)
    fitting = [end for end in ends if size(end) <= limit]
    assert len(chosen) == (fitting[-1] if fitting else ends[0] if ends else 0)


@given(sessions(), st.integers(12, 60))
def test_going_on_covers_every_event_once(events: list[Event], limit: int) -> None:
    summarizer = SessionSummarizer(
        ScriptedModel(), prompt=PROMPT, token_counter=count_words, max_input_tokens=limit
    )
    left = list(events)
    covered: list[Event] = []
    while chosen := summarizer.choose_events(make_session(left)):
        request = summarizer.make_request(make_session(left), chosen)
        assert request.messages == list_messages(chosen)
        summarizer.invoke(request)
        covered += chosen
        left = left[len(chosen) :]
    assert covered + left == events
    # What is left runs, waits for results, or has no message.
    end = end_of_turns(events)
    assert len(covered) <= end
    assert not any(event.message for event in events[len(covered) : end])
