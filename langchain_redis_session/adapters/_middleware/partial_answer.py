"""What a model has said until its run was cut off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.messages import AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, var_child_runnable_config


class PartialAnswer(BaseCallbackHandler):
    """Gathers the chunks of a streamed answer."""

    run_inline = True

    def __init__(self) -> None:
        self._chunks: list[AIMessageChunk] = []

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Gather the chunks of models that are called meanwhile."""
        # In the config that they find by themselves: a copy of the model could not count its calls.
        config: RunnableConfig = {**ensure_config()}
        callbacks = config.get("callbacks")
        if isinstance(callbacks, BaseCallbackManager):
            callbacks = callbacks.copy()
            callbacks.add_handler(self)
        else:
            callbacks = [*(callbacks or []), self]
        config["callbacks"] = callbacks
        token = var_child_runnable_config.set(config)
        try:
            yield
        finally:
            var_child_runnable_config.reset(token)

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
        # At once: one by one takes ten times as long.
        return message_chunk_to_message(first + rest if rest else first)
