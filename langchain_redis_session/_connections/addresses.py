"""What Redis is named by, in a form that can be shown."""

from __future__ import annotations

import re


def hide_password(url: str) -> str:
    """Give a URL that can be shown.

    >>> hide_password("redis://:secret@db:6379/0?password=x")
    'redis://***@db:6379/0?password=***'
    """
    shown = re.sub(r"((?:password|username)=)[^&]*", r"\1***", url)
    # To the last @: a password that holds "@" or "/" unescaped is one too.
    return re.sub(r"//.*@", "//***@", shown)
