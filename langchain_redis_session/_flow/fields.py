"""The fields of a hash, as a command replies them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def to_fields(reply: Mapping[bytes, bytes] | Sequence[bytes]) -> Mapping[bytes, bytes]:
    """Give fields by name, whichever protocol the client speaks.

    >>> to_fields([b"k", b"1"]), to_fields({b"k": b"1"})  # RESP2, RESP3
    ({b'k': b'1'}, {b'k': b'1'})
    """
    if isinstance(reply, Mapping):
        return reply
    return dict(zip(reply[::2], reply[1::2], strict=True))
