"""What our clients call themselves: `redis-py(langchain-redis-session_v…)` in CLIENT LIST.

A connection that is not told the version of its library looks that up on disk, in an event
loop too. So it is told, and what it is told is found out once, when this is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import redis

try:
    from redis.driver_info import DriverInfo
except ImportError:  # before redis-py 7.2
    DriverInfo = None  # type: ignore[assignment,misc]

_NAME, _REDIS_NAME = "langchain-redis-session", "redis-py"
_OPTIONS = ("driver_info", "lib_name", "lib_version")


def _find_version() -> str:
    try:
        return version(_NAME)
    except PackageNotFoundError:  # run from its sources
        return "0"


VERSION = _find_version()


def name_client(client: Any) -> Any:
    """Let the connections that a client of ours will open bear our name; gives the client."""
    pool = client.connection_pool
    pool.connection_kwargs = name_driver(pool.connection_kwargs)
    return client


def name_driver(options: Mapping[str, Any]) -> dict[str, Any]:
    """Give the options of connections with our name among them, unless there is another.

    >>> name_driver({"db": 1, "lib_name": "mine", "lib_version": "2"})
    {'db': 1, 'lib_name': 'mine', 'lib_version': '2'}
    """
    given = {name: options[name] for name in _OPTIONS if name in options}
    if not _is_default(given):
        if given.keys() == {"lib_name"}:
            given["lib_version"] = redis.__version__
        return {**options, **given}
    others = {name: value for name, value in options.items() if name not in given}
    if DriverInfo is None:
        name = f"{_REDIS_NAME}({_NAME}_v{VERSION})"
        return {**others, "lib_name": name, "lib_version": redis.__version__}
    info = DriverInfo(lib_version=redis.__version__).add_upstream_driver(_NAME, VERSION)
    return {**others, "driver_info": info}


def _is_default(given: Mapping[str, Any]) -> bool:
    """Whether nobody chose a name: redis-py itself puts one among a client's options."""
    if "driver_info" in given:
        return getattr(given["driver_info"], "formatted_name", None) == _REDIS_NAME
    return not given or given.get("lib_name") == _REDIS_NAME
