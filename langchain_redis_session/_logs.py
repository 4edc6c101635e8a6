"""The package's logger: silent until the program sets up logging.

No message of it holds content of sessions, values of state, or credentials. So errors that
other people's code raised are logged by the name of their class: their texts may quote
anything.
"""

from __future__ import annotations

import logging

logger = logging.getLogger("langchain_redis_session")
if not any(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
    logger.addHandler(logging.NullHandler())
