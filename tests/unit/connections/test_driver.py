"""What our clients call themselves, whatever redis-py takes for it."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from langchain_redis_session._connections import driver
from langchain_redis_session._connections.driver import VERSION, name_driver

OURS = f"redis-py(langchain-redis-session_v{VERSION})"


def shown(options: dict[str, Any]) -> tuple[Any, Any]:
    info = options.get("driver_info")
    if info is not None:
        return info.formatted_name, info.lib_version
    return options.get("lib_name"), options.get("lib_version")


@pytest.fixture(params=[True, False], ids=["driver_info", "lib_name"])
def has_driver_info(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not request.param:
        monkeypatch.setattr(driver, "DriverInfo", None)
    elif not hasattr(redis, "DriverInfo"):
        pytest.skip("this redis-py has no driver_info")
    return bool(request.param)


def test_connections_bear_our_name_and_know_their_version(has_driver_info: bool) -> None:
    named = name_driver({"db": 3})
    assert shown(named) == (OURS, redis.__version__)
    assert named["db"] == 3
    assert ("driver_info" in named) == has_driver_info


def test_the_name_that_redis_py_gives_by_default_counts_for_none(has_driver_info: bool) -> None:
    default = {"lib_name": "redis-py", "lib_version": "5.2.0"}
    assert shown(name_driver(default)) == (OURS, redis.__version__)
    assert name_driver(name_driver(default)) == name_driver(default)


@pytest.mark.parametrize(
    "given",
    [
        {"lib_name": "mine", "lib_version": "2"},
        {"lib_name": None, "lib_version": None},
        {"driver_info": None},
        {"lib_version": "2"},
    ],
)
def test_a_name_of_somebody_elses_is_kept(given: dict[str, Any], has_driver_info: bool) -> None:
    assert name_driver(given) == given


def test_a_name_without_a_version_gets_one_that_nobody_has_to_look_up(
    has_driver_info: bool,
) -> None:
    assert shown(name_driver({"lib_name": "mine"})) == ("mine", redis.__version__)
