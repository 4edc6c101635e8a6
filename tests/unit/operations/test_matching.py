"""Queries and conversations, compared with the plain way to say what they mean."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage

from langchain_redis_session import Event
from langchain_redis_session._operations.conversations import choose_last
from langchain_redis_session._operations.matching import compile_query
from tests.effort import examples

LETTER = r"[0-9A-Za-z_\u00AA-\u0DFF\u10A0-\u177F\u1800-\u1FFF]"
TEXTS = st.text(st.sampled_from("aAbß-+ \n\t\u3000京é_0"), max_size=12)


def stands_in(term: str, text: str) -> bool:
    """Whether words stand in a text, as whole ones where their script parts words."""
    words = term.casefold().split()
    before = f"(?<!{LETTER})" if re.match(LETTER, words[0]) else ""
    behind = f"(?!{LETTER})" if re.match(LETTER, words[-1][-1]) else ""
    pattern = before + r"\s+".join(map(re.escape, words)) + behind
    return re.search(pattern, text.casefold()) is not None


@examples(600)
@given(TEXTS, st.lists(TEXTS.filter(str.strip), min_size=1, max_size=3))
def test_every_phrase_of_a_query_must_stand_in_the_text(text: str, terms: list[str]) -> None:
    matches = compile_query(" ".join(f'"{term}"' for term in terms))
    assert matches(text) == all(stands_in(term, text) for term in terms)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Make events, oldest first; a request has one user message, at its beginning, or none."""
    events, opened = [], set()
    for number in range(draw(st.integers(1, 30))):
        request = draw(st.sampled_from(["", "", "r", "s"]))
        is_human = draw(st.booleans()) and (not request or request not in opened)
        opened.add(request)
        message = HumanMessage("q") if is_human else AIMessage("a")
        events.append(Event(message, request_id=request, id=f"e{number}"))
    return events


@examples(600)
@given(histories(), st.integers(1, 4), st.integers(1, 30))
def test_no_more_is_read_of_a_session_than_tells_its_last_conversations(
    events: list[Event], count: int, looked_at: int
) -> None:
    newest_first = events[::-1]
    whole, _ = choose_last(newest_first, count, is_all=True)
    places, are_whole = choose_last(newest_first[:looked_at], count, is_all=False)
    if are_whole:
        assert places == whole
