"""Which answers of models are no summaries, and what of an answer is none."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import Generation

from langchain_redis_session import SessionSummarizer, SummaryError, SummaryRequest
from langchain_redis_session._summarizer.answer import drop_thoughts, find_fault
from langchain_redis_session.summarizer import to_summarizer
from tests.integration.scripted import ScriptedModel

HUMAN = HumanMessage("I am Ann.")


def metadata(**values: Any) -> AIMessage:
    return AIMessage("Ann has", response_metadata=values)


NO_SUMMARIES = [
    # OpenAI, with its two interfaces
    metadata(finish_reason="length"),
    metadata(finish_reason="content_filter"),
    metadata(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
    metadata(status="incomplete", incomplete_details={"reason": "content_filter"}),
    AIMessage("", additional_kwargs={"refusal": "I can't help with that."}),
    AIMessage([{"type": "refusal", "refusal": "I can't help with that."}]),
    AIMessage(
        [{"type": "non_standard", "value": {"type": "refusal", "refusal": "I can't."}}],
        additional_kwargs={"refusal": "I can't."},
    ),
    # Anthropic
    metadata(stop_reason="max_tokens"),
    metadata(stop_reason="model_context_window_exceeded"),
    metadata(stop_reason="refusal"),
    # Google
    metadata(finish_reason="MAX_TOKENS"),
    metadata(finish_reason="FinishReason.SAFETY"),
    metadata(finish_reason="PROHIBITED_CONTENT"),
    metadata(finish_reason="RECITATION"),
    metadata(prompt_feedback={"block_reason": 1, "safety_ratings": []}),
    metadata(prompt_feedback={"block_reason": "SAFETY"}),
    # Bedrock, Ollama
    metadata(stopReason="guardrail_intervened"),
    metadata(done_reason="length"),
]
SUMMARIES = [
    AIMessage("Ann has a cat."),
    metadata(finish_reason="stop"),
    metadata(finish_reason="STOP", prompt_feedback={"block_reason": 0, "safety_ratings": []}),
    metadata(stop_reason="end_turn", stop_sequence=None),
    metadata(status="completed", incomplete_details=None),
    AIMessage("Ann has a cat.", additional_kwargs={"refusal": None}),
]


@pytest.mark.parametrize("answer", NO_SUMMARIES, ids=repr)
async def test_an_answer_that_is_no_whole_one_is_no_summary(answer: AIMessage) -> None:
    assert find_fault(answer)
    model = ScriptedModel(answer=lambda _: answer)
    for summarizer in (
        SessionSummarizer(model),
        to_summarizer(model | StrOutputParser()),
        to_summarizer(lambda request: model.invoke(request.messages).text),
    ):
        with pytest.raises(SummaryError, match="the summarizer's answer was"):
            summarizer.invoke([HUMAN])
        with pytest.raises(SummaryError, match="the summarizer's answer was"):
            await summarizer.ainvoke([HUMAN])


@pytest.mark.parametrize("answer", SUMMARIES, ids=repr)
def test_a_whole_answer_is_a_summary(answer: AIMessage) -> None:
    assert not find_fault(answer)
    assert SessionSummarizer(ScriptedModel(answer=lambda _: answer)).invoke([HUMAN])


def test_a_text_model_says_so_beside_its_text() -> None:
    assert find_fault(Generation(text="Ann", generation_info={"finish_reason": "length"}))
    assert not find_fault(Generation(text="Ann", generation_info={"finish_reason": "stop"}))
    assert not find_fault(Generation(text="Ann"))


def test_the_last_answer_of_several_counts() -> None:
    answers = iter([metadata(finish_reason="length"), metadata(finish_reason="stop")])
    model = GenericFakeChatModel(messages=answers)

    def summarize(request: SummaryRequest) -> str:
        model.invoke(request.messages)  # too long: another try
        return model.invoke(request.messages).text

    assert to_summarizer(summarize).invoke([HUMAN]) == "Ann has"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>A cat?\nYes.</think>\n\nAnn has a cat.", "Ann has a cat."),
        ("<THINK>A cat?</THINK>Ann has a cat.", "Ann has a cat."),
        ("<think></think>Ann. <think>Well?</think>A cat.", "Ann. A cat."),
        ("A cat?\n</think>\n\nAnn has a cat.", "Ann has a cat."),  # the template had the start
        ("<think>A cat, or perhaps", ""),
        ("<think>A cat?</think>", ""),
        ("Ann asks what <think> means.", "Ann asks what <think> means."),
        ("Ann asks what </think> means.", "Ann asks what </think> means."),
    ],
)
def test_thoughts_are_taken_out(text: str, left: str) -> None:
    assert drop_thoughts(text) == left
    assert SessionSummarizer(ScriptedModel(answer=lambda _: AIMessage(text))).invoke([HUMAN]) == (
        left
    )
