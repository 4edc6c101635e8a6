"""What media cost: a fixed price by kind, however large their base64 is."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.messages.utils import count_tokens_approximately

from langchain_redis_session import RedisSessionChatMessageHistory, Session, token_threshold
from langchain_redis_session._summarizer.tokens import count_tokens
from tests.unit.summaries import make_session

DATA = "QUJD" * 100_000
IMAGE, AUDIO, VIDEO, FILE = 85, 1000, 2000, 1000
MEDIA: list[tuple[int, dict[str, Any]]] = [
    # LangChain's blocks, of today and of before
    (IMAGE, {"type": "image", "base64": DATA, "mime_type": "image/png"}),
    (IMAGE, {"type": "image", "url": "https://x.y/z.png"}),
    (AUDIO, {"type": "audio", "base64": DATA, "mime_type": "audio/wav"}),
    (VIDEO, {"type": "video", "base64": DATA, "mime_type": "video/mp4"}),
    (FILE, {"type": "file", "base64": DATA, "mime_type": "application/pdf"}),
    (FILE, {"type": "file", "source_type": "base64", "data": DATA, "mime_type": "text/csv"}),
    # OpenAI
    (IMAGE, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}),
    (IMAGE, {"type": "image_url", "image_url": {"url": "https://x.y/z.png", "detail": "low"}}),
    (IMAGE, {"type": "input_image", "image_url": f"data:image/png;base64,{DATA}"}),
    (IMAGE, {"type": "image_generation_call", "id": "i1", "result": DATA}),
    (AUDIO, {"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}}),
    (FILE, {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:x;base64,{DATA}"}}),
    (FILE, {"type": "file", "file": {"file_id": "file-1"}}),
    (FILE, {"type": "input_file", "filename": "a.pdf", "file_data": DATA}),
    # Anthropic
    (IMAGE, {"type": "image", "source": {"media_type": "image/png", "data": DATA}}),
    (FILE, {"type": "document", "source": {"type": "base64", "data": DATA}, "title": "T"}),
    (FILE, {"type": "document", "source": {"type": "url", "url": "https://x.y/z.pdf"}}),
    (IMAGE, {"type": "tool_result", "content": [{"type": "image", "source": {"data": DATA}}]}),
    # Google
    (VIDEO, {"type": "media", "mime_type": "video/mp4", "data": DATA}),
    (VIDEO, {"type": "media", "mime_type": "video/mp4", "file_uri": "gs://x/y"}),
    (IMAGE, {"type": "media", "mime_type": "image/png", "data": b"PNG"}),
    (IMAGE, {"inline_data": {"mime_type": "image/png", "data": DATA}}),
    # Bedrock
    (IMAGE, {"image": {"format": "png", "source": {"bytes": b"PNG"}}}),
    (FILE, {"document": {"format": "pdf", "name": "a", "source": {"bytes": b"PDF"}}}),
]  # fmt: skip


@pytest.mark.parametrize(("cost", "block"), MEDIA)
def test_media_cost_the_same_however_large_they_are(cost: int, block: dict[str, Any]) -> None:
    text = {"type": "text", "text": "What is this?"}
    for message in (
        HumanMessage([text, block]),
        AIMessage([text, block]),
        ToolMessage([text, block], tool_call_id="c1"),
    ):
        bare = message.model_copy(update={"content": [text]})
        assert 0 <= count_tokens([message]) - count_tokens([bare]) - cost < 20


@pytest.mark.parametrize(
    "content",
    [
        "words " * 100,
        DATA,  # it was pasted
        [{"type": "text", "text": DATA}],
        ["words", {"type": "text", "text": "words"}],
        [{"type": "document", "source": {"type": "text", "data": "words " * 400}}],
        [{"type": "text-plain", "text": "words " * 400, "mime_type": "text/plain"}],
        [{"type": "thinking", "thinking": "hm", "signature": DATA}],
        [{"type": "tool_use", "id": "c1", "name": "write_file", "input": {"file": DATA}}],
    ],
)
def test_texts_are_counted_as_langchain_core_counts_them(content: Any) -> None:
    messages = [HumanMessage(content)]
    assert count_tokens(messages) == count_tokens_approximately(messages)


def test_the_text_beside_media_in_a_block_counts() -> None:
    image = {"type": "image", "source": {"type": "base64", "data": DATA}}
    content = [{"type": "text", "text": "words " * 400}, image]
    cost = count_tokens([HumanMessage([{"type": "tool_result", "content": content}])])
    assert 600 < cost - IMAGE < 700


def test_a_pdf_leaves_room_for_the_question_and_fires_no_trigger() -> None:
    pdf = {"type": "file", "base64": DATA, "mime_type": "application/pdf"}
    history = RedisSessionChatMessageHistory("pdf", "memory://pdf", max_tokens=3000)
    history.add_messages([HumanMessage([{"type": "text", "text": "Read this."}, pdf])])
    history.add_messages([AIMessage("Done."), HumanMessage("What does it say?")])
    assert len(history.messages) == 3
    session: Session = make_session([HumanMessage([pdf])])
    assert not token_threshold(4000)(session)
    assert token_threshold(900)(session)
