"""What a model has said until its run was cut off."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage, message_chunk_to_message


class PartialAnswer(BaseCallbackHandler):
    """Gathers the chunks of a streamed answer."""

    run_inline = True

    def __init__(self) -> None:
        self._chunks: list[AIMessageChunk] = []

    def watch(self, model: Any) -> Any:
        """Give a copy of the model whose chunks are gathered here."""
        if not isinstance(model, BaseChatModel):
            return model
        callbacks = model.callbacks
        if isinstance(callbacks, BaseCallbackManager):
            callbacks = callbacks.copy()
            callbacks.add_handler(self, inherit=False)
        else:
            callbacks = [*(callbacks or []), self]
        return model.model_copy(update={"callbacks": callbacks})

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        """Begin anew: another try may have been before."""
        self._chunks.clear()

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:
        """Keep what was said."""
        message = getattr(chunk, "message", None)
        if isinstance(message, AIMessageChunk):
            self._chunks.append(message)

    @property
    def message(self) -> BaseMessage | None:
        """All that was said; None for nothing."""
        if not any(chunk.content or chunk.tool_call_chunks for chunk in self._chunks):
            return None
        first, *rest = self._chunks
        return message_chunk_to_message(sum(rest, first))
