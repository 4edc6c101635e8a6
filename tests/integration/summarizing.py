"""What runs in the processes of `test_summaries`, and the models that it is scripted with."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig

from langchain_redis_session import (
    RedisSessionService,
    SessionKey,
    SessionSummarizer,
    SummaryRequest,
    event_threshold,
)
from langchain_redis_session.summarizer import SummaryResult
from tests.integration.scripted import ScriptedModel
from tests.waits import PATIENCE_S


def ids_in(text: str) -> list[str]:
    """Give the ids that a text quotes, in order, each once."""
    return list(dict.fromkeys(re.findall(r"\bid\d+\b", text)))


def turn(number: int) -> Sequence[BaseMessage]:
    """Give turn `number` of a conversation: two messages with ids of their own."""
    return [HumanMessage(f"Tell me id{2 * number}."), AIMessage(f"It is id{2 * number + 1}.")]


class Witness(SessionSummarizer):
    """A summarizer with a scripted model, whose summary is the ids of all it was told of.

    Attributes:
        taken: Of each call, the ids of the new messages.
        model: The scripted model.
    """

    taken: list[list[str]]
    model: ScriptedModel

    @classmethod
    def make(cls, count: int, seconds: float = 0.0, **options: object) -> Witness:
        """Make one that is due with so many events, and that takes its time."""

        def repeat(messages: list[BaseMessage]) -> AIMessage:
            time.sleep(seconds)
            return AIMessage(" ".join(ids_in("\n".join(message.text for message in messages))))

        model = ScriptedModel(answer=repeat)
        witness = cls(model, trigger=event_threshold(count), **options)  # type: ignore[arg-type]
        witness.taken, witness.model = [], model
        return witness

    def summarize(
        self, request: SummaryRequest | Sequence[BaseMessage], config: RunnableConfig | None = None
    ) -> SummaryResult:
        self._note(request)
        return super().summarize(request, config)

    async def asummarize(
        self, request: SummaryRequest | Sequence[BaseMessage], config: RunnableConfig | None = None
    ) -> SummaryResult:
        self._note(request)
        return await super().asummarize(request, config)

    def _note(self, request: SummaryRequest | Sequence[BaseMessage]) -> None:
        assert isinstance(request, SummaryRequest)
        self.taken.append(ids_in("\n".join(message.text for message in request.messages)))


def converse(url: str, key: SessionKey, writer: int, turns: int, count: int) -> list[list[str]]:
    """Append turns and let them be summarized; gives what each summary of this process took."""
    witness = Witness.make(count, seconds=0.01)
    with RedisSessionService(url, summarizer=witness, session_event_limit=None) as service:
        for number in range(turns):
            service.append_messages(key, turn(writer * turns + number), create=True)
        assert service.flush(PATIENCE_S)
    return witness.taken


def hang(url: str, key: SessionKey) -> None:
    """Begin to summarize a session, say so, and never end."""

    def summarize(_: SummaryRequest) -> str:
        print("summarizing", flush=True)
        time.sleep(600)
        return "too late"

    with RedisSessionService(
        url, summarizer=summarize, auto_summarize=False, summary_job_timeout=600
    ) as service:
        service.create_summary(key, force=True)


if __name__ == "__main__":
    hang(sys.argv[1], SessionKey(*sys.argv[2:]))
