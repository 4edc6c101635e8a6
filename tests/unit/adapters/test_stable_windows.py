"""Stable windows: the beginning stays, so that providers' prompt caches hit."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.messages.utils import count_tokens_approximately

from langchain_redis_session.adapters._windows import ModelWindow

TURNS = 200
SYSTEM = SystemMessage("You sell tea.")


@dataclass
class Prompts:
    """What a model is given in a long conversation.

    Attributes:
        unchanged: The share of the prompts' tokens that stood at the same place before.
        cuts: How often the window's beginning has moved.
        longest: The most messages of a prompt.
        most_tokens: Likewise.
    """

    unchanged: float
    cuts: int
    longest: int
    most_tokens: int


def talk_for(window: ModelWindow, turns: int = TURNS) -> Prompts:
    """Have a conversation of questions and answers, some of them long."""
    older: list[BaseMessage] = [SYSTEM]
    before: list[BaseMessage] = []
    begin = cuts = longest = most_tokens = 0
    same = total = 0
    for turn in range(turns):
        running = [HumanMessage(f"Question {turn} {'about tea ' * (turn % 7)}")]
        if window.stable:
            moved = window.move_begin(older, running, begin)
            cuts += moved != begin
            begin = moved
        fronts = [message for message in older[:begin] if message.type == "system"]
        prompt = window.make([*fronts, *older[begin:], *running], is_cut=begin > 0)
        sizes = [count_tokens_approximately([message]) for message in prompt]
        pairs = zip(prompt, before, strict=False)
        kept = len([*takewhile(lambda pair: pair[0] == pair[1], pairs)])
        if not window.stable and before and prompt[1] != before[1]:
            cuts += 1
        same, total = same + sum(sizes[:kept]), total + sum(sizes)
        longest, most_tokens = max(longest, len(prompt)), max(most_tokens, sum(sizes))
        before = prompt
        older += [*running, AIMessage(f"Answer {turn} {'good tea ' * (turn % 5)}")]
    return Prompts(same / total, cuts, longest, most_tokens)


@pytest.mark.parametrize(
    ("name", "limits"), [("messages", {"max_messages": 40}), ("tokens", {"max_tokens": 800})]
)
def test_most_of_a_stable_window_s_prompts_is_unchanged(name: str, limits: dict[str, Any]) -> None:
    sliding = talk_for(ModelWindow(**limits))
    stable = talk_for(ModelWindow(**limits, stable=True))
    for title, found in (("sliding", sliding), ("stable", stable)):
        print(
            f"{name}, {title}: {found.unchanged:.1%} of {TURNS} prompts' tokens stood there before,"
            f" {found.cuts} cuts, at most {found.longest} messages, {found.most_tokens} tokens"
        )
    assert sliding.unchanged < 0.2
    assert stable.unchanged > 0.85
    assert stable.cuts < 25 < sliding.cuts
    assert stable.longest <= limits.get("max_messages", stable.longest)
    assert stable.most_tokens <= limits.get("max_tokens", stable.most_tokens)


def test_the_cut_moves_so_far_that_half_of_the_limit_is_left() -> None:
    window = ModelWindow(8, stable=True)
    numbers = count()
    older: list[BaseMessage] = []
    begins = []
    begin = 0
    for _ in range(9):
        begin = window.move_begin(older, [HumanMessage("?")], begin)
        begins.append(begin)
        older += [HumanMessage(str(next(numbers))), AIMessage("a")]
    assert begins == [0, 0, 0, 0, 6, 6, 6, 12, 12]


def test_a_turn_that_fills_the_window_alone_begins_it() -> None:
    window = ModelWindow(3, stable=True)
    older = [HumanMessage("h1"), AIMessage("a1")]
    assert window.move_begin(older, [HumanMessage("h2")] * 3, 0) == 2


def test_without_a_start_the_cut_is_at_no_tool_result() -> None:
    window = ModelWindow(4, stable=True, start_on=None)
    older = [HumanMessage("h1"), AIMessage("a1"), AIMessage("a2"), AIMessage("a3")]
    assert window.move_begin(older, [HumanMessage("h2")], 0) == 3


def test_windows_of_other_sizes_have_other_names() -> None:
    names = {ModelWindow(8).name, ModelWindow(9).name, ModelWindow(max_tokens=8).name}
    assert len(names) == 3
