"""What a model has said until its run was cut off."""

import pytest

pytest.importorskip("langchain.agents.middleware")

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_redis_session.adapters._middleware.partial_answer import PartialAnswer


def test_a_try_that_failed_is_no_part_of_the_next() -> None:
    said = PartialAnswer()
    for words in (["lost ", "too"], ["kept ", "all"]):
        said.on_chat_model_start({}, [])
        for word in words:
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=word))
            said.on_llm_new_token(word, chunk=chunk)
    assert said.message is not None
    assert said.message.text == "kept all"
