"""State values <-> bytes: JSON, or whatever bytes somebody stored."""

from __future__ import annotations

from typing import Any

from langchain_redis_session._codec.conversions import Conversions
from langchain_redis_session._codec.corruption import decoder
from langchain_redis_session._codec.plain_json import load_exactly
from langchain_redis_session._codec.tags import TAG_BYTES, dump_bytes, dump_value, read_value
from langchain_redis_session.errors import CorruptEventError


def encode_state_value(value: Any, path: str, conversions: Conversions | None = None) -> bytes:
    """Write a state value: `bytes` as they are, all else as compact JSON.

    Args:
        value: Anything.
        path: What to call it in an error, such as `state['k']`.
        conversions: Who hears of what JSON can't carry; None = it is refused.

    Raises:
        UnserializableMessageError: JSON can't carry it (NaN, sets, keys that are no
            strings, …), and there are no `conversions`; the text names the path.

    >>> encode_state_value({"city": "東京"}, "state['k']").decode()
    '{"city":"東京"}'
    """
    if issubclass(type(value), bytes):
        return bytes(value)
    return dump_value(value, path, conversions)


_load = decoder("a state value")(load_exactly)


def decode_state_value(data: bytes) -> Any:
    """Read a state value: JSON as its value, other bytes as themselves.

    >>> decode_state_value(b"[1,2]"), decode_state_value(b"NaN"), decode_state_value(b"")
    ([1, 2], b'NaN', b'')
    """
    try:
        value = _load(data)
    except CorruptEventError:
        return data
    return read_value(value) if TAG_BYTES in data else value


def encode_typed_value(value: Any, path: str, conversions: Conversions | None = None) -> bytes:
    """Write a state value as `encode_state_value`, but for bytes that would be read as JSON.

    >>> decode_state_value(encode_typed_value(b"[0.1]", "values['k']"))
    b'[0.1]'
    """
    data = encode_state_value(value, path, conversions)
    if isinstance(value, bytes) and decode_state_value(data) is not data:
        return dump_bytes(data)
    return data
