"""Content blocks of models: the text of them for other readers, and no long field twice.

What other readers see of blocks is their text, in one piece, and the tool calls. Blocks repeat
both: there they refer to the message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from langchain_redis_session._codec.plain_json import approximate_text
from langchain_redis_session._codec.tags import MIN_REFERENCE, is_dense, make_tag


def join_texts(content: Sequence[Any]) -> tuple[str, dict[str, int]]:
    """Give the text of content blocks, for readers that know only text; and where each begins.

    >>> join_texts([{"type": "text", "text": "a, "}, {"type": "thinking"}, "b"])
    ('a, b', {'a, ': 0, 'b': 3})
    """
    texts: list[str] = []
    starts: dict[str, int] = {}
    end = 0
    for block in content:
        text = block
        if isinstance(block, dict):
            text = block.get("text") if block.get("type") == "text" else None
        if isinstance(text, str):
            texts.append(approximate_text(str.__str__(text)))
            starts.setdefault(texts[-1], end)
            end += len(texts[-1])
    return "".join(texts), starts


def refer(
    blocks: Sequence[Any],
    pieces: dict[str, int],
    arguments: Sequence[str] = (),
    spellings: Sequence[bytes | None] | None = None,
) -> list[Any]:
    """Let blocks refer to the message, where they say the same at length.

    Args:
        blocks: Blocks that JSON can carry.
        pieces: Where in the natural content each text begins.
        arguments: Those of the natural tool calls. Each is referred to once as a text, and once
            as an object, so that reading never makes much of a short entry.
        spellings: The same in orjson's spelling, None where they are not exact; default: as
            they are.

    Returns:
        The blocks; those that refer to something are copies.

    >>> text = "a text that is long enough to be referred to, not repeated"
    >>> refer([{"type": "text", "text": text, "index": 0}], {text: 3})
    [{'type': 'text', 'text': {'$lc': ['content', 3, 58]}, 'index': 0}]
    """
    texts = {text: place for place, text in reversed([*enumerate(arguments)])}
    if spellings is None:
        objects: dict[bytes | None, int] = {t.encode(): place for t, place in texts.items()}
    else:
        objects = {spelled: place for place, spelled in reversed([*enumerate(spellings)])}
    referring: list[Any] = []
    for block in blocks:
        found: dict[str, Any] = {}
        if type(block) is dict:
            if block.get("type") == "text":  # of others the content does not hold a piece each
                text = block.get("text")
                if type(text) is str and len(text) >= MIN_REFERENCE:
                    found["text"] = make_tag("content", pieces[text], len(text))
            elif texts:
                _refer_to_calls(block, texts, objects, found)
        referring.append({**block, **found} if found else block)
    return referring


def _refer_to_calls(
    block: dict[str, Any],
    texts: dict[str, int],
    objects: dict[bytes | None, int],
    found: dict[str, Any],
) -> None:
    text = block.get("arguments")
    if type(text) is str and len(text) >= MIN_REFERENCE and text in texts:
        found["arguments"] = make_tag("arguments", texts.pop(text))
    for name in ("input", "args"):
        value = block.get(name)
        if type(value) is dict and value:
            spelled = orjson.dumps(value)
            if (
                spelled in objects
                and len(spelled) >= MIN_REFERENCE
                and not is_dense(value, spelled)
            ):
                found[name] = make_tag("args", objects.pop(spelled))
