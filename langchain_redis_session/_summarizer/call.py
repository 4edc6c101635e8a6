"""One summary in the making: from what a summarizer was given to its result."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

# LangChain loads these when something runs for the first time, and then an event loop waits.
import langchain_core.tracers.context
import langchain_core.tracers.stdout  # noqa: F401
from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult
from langchain_core.runnables import RunnableConfig

from langchain_redis_session._codec.plain_json import approximate_text
from langchain_redis_session._connections.forks import renew_in_child
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._summarizer.answer import drop_thoughts, find_fault
from langchain_redis_session._summarizer.writers import SummaryWriter
from langchain_redis_session.errors import ConfigurationError, SummaryError, shorten
from langchain_redis_session.models import SummaryRequest


@dataclass(frozen=True, slots=True)
class SummaryResult:
    """What a summarizer gave.

    Attributes:
        text: The summary, without a model's thoughts (`<think>…</think>`); "" if it said
            nothing.
        usage: The tokens that the models took, all calls together; None where they
            don't tell.
    """

    text: str
    usage: UsageMetadata | None = None


class SummaryCall:
    """One summary in the making.

    Raises:
        ConfigurationError: `value` is no request and no list of messages.
    """

    result: SummaryResult

    def __init__(self, writer: SummaryWriter, value: object) -> None:
        self._request = _to_request(value)
        self._writer = writer
        self._models = _Witness()

    @property
    def shown_input(self) -> Any:
        """What a trace shows as the input."""
        # Not the request: a trace with the whole session in it helps nobody.
        request = self._request
        return {"messages": request.messages, "previous_summary": request.previous_summary}

    def make(self, config: RunnableConfig) -> Flow[str]:
        """Make it; `result` tells the tokens too.

        Args:
            config: That of the run that this goes on in.

        Raises:
            SummaryError: The writer gave something that is no text, or no whole answer.
        """
        manager = config.get("callbacks")
        if isinstance(manager, BaseCallbackManager):  # always, inside of a run
            manager.add_handler(self._models)
        request = self._request
        if request.messages:
            answer = yield from self._writer.write(request, config)
        else:  # nothing came since, so the last summary still holds
            answer = request.previous_summary
        self.result = self._to_result(answer)
        return self.result.text

    def _to_result(self, answer: Any) -> SummaryResult:
        text = answer.text if isinstance(answer, BaseMessage) else answer
        if not isinstance(text, str):
            raise SummaryError(
                f"the summarizer gave no text and no message but {shorten(answer)}; "
                "add a step that makes a text of it"
            )
        # Of a text, the last answer of a model tells whether it was cut off.
        source = answer if isinstance(answer, BaseMessage) else self._models.last
        if source is not None and (fault := find_fault(source)):
            raise SummaryError(
                f"the summarizer's answer {fault}; where it was too long, give the model more "
                "max_tokens, or set max_summary_words"
            )
        # A lone surrogate could not be stored.
        return SummaryResult(drop_thoughts(approximate_text(str(text))), self._models.usage)


class _Witness(BaseCallbackHandler):
    """Sees what models answered: the last answer, and the tokens of all."""

    run_inline = True

    def __init__(self) -> None:
        self.usage: UsageMetadata | None = None
        self.last: Generation | None = None
        self._lock = threading.Lock()
        renew_in_child(self)

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        for generations in response.generations:
            # Where a model gave several answers, each tells the tokens of all.
            first = generations[0] if generations else None
            if first is not None:
                self.last = first
            message = first.message if isinstance(first, ChatGeneration) else None
            if isinstance(message, AIMessage) and message.usage_metadata:
                with self._lock:
                    self.usage = add_usage(self.usage, message.usage_metadata)


def _to_request(value: object) -> SummaryRequest:
    if isinstance(value, SummaryRequest):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(m, BaseMessage) for m in value):
        return SummaryRequest(list(value))
    raise ConfigurationError(
        f"a summarizer takes a SummaryRequest or a list of messages, not {shorten(value)}"
    )
