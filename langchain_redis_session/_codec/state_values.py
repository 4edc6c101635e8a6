"""State values <-> bytes: JSON, or whatever bytes somebody stored."""

from __future__ import annotations

from typing import Any

from langchain_redis_session._codec.plain_json import PlainCopy, dump_exactly, load_exactly


def encode_state_value(value: Any, path: str) -> bytes:
    """Write a state value: `bytes` as they are, all else as compact JSON.

    Args:
        value: Any JSON value, or bytes.
        path: What to call it in an error, such as `state['k']`.

    Raises:
        UnserializableMessageError: JSON can't carry it (NaN, sets, keys that are no
            strings, …); the text names the path.

    >>> encode_state_value({"city": "東京"}, "state['k']").decode()
    '{"city":"東京"}'
    """
    if isinstance(value, bytes):
        return bytes(value)
    return dump_exactly(PlainCopy().copy(value, path))


def decode_state_value(data: bytes) -> Any:
    """Read a state value: JSON as its value, other bytes as themselves.

    >>> decode_state_value(b"[1,2]"), decode_state_value(b"NaN"), decode_state_value(b"")
    ([1, 2], b'NaN', b'')
    """
    try:
        return load_exactly(data)
    except ValueError:
        return data
