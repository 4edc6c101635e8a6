"""An operation has one name: in spans, custom events, hooks and counters."""

from __future__ import annotations

import inspect
import re

from langchain_redis_session import RedisSessionService, SessionCallbackHandler
from langchain_redis_session._observe.operations import METHODS, PERSIST, name_operation
from langchain_redis_session.stats import ServiceStats


def read_table() -> dict[str, tuple[set[str], bool]]:
    """The table that users see: of each operation its methods, and whether it has hooks."""
    text = inspect.getdoc(ServiceStats) or ""
    table: dict[str, tuple[set[str], bool]] = {}
    for line in text.splitlines():
        if line.startswith("| `"):
            name, *found = re.findall(r"`(\w+)`", line)
            table[name] = ({*found}, line.count("yes") == 3)
    return table


def test_the_table_that_users_see_is_the_one_that_is_used() -> None:
    table = read_table()
    assert table.pop(PERSIST) == (set(), False)
    assert {name: methods for name, (methods, _) in table.items()} == {
        name: set(methods) for name, methods in METHODS.items()
    }


def test_hooks_have_the_names_of_operations() -> None:
    names = re.findall(r"on_(\w+)_(?:start|end|error)\b", " ".join(vars(SessionCallbackHandler)))
    assert set(names) - {PERSIST} == {name for name, (_, has) in read_table().items() if has}


def test_every_operation_is_of_methods_that_exist_and_is_named_after_one() -> None:
    for name, methods in METHODS.items():
        assert name in methods
        for method in methods:
            assert callable(getattr(RedisSessionService, method))
            assert callable(getattr(RedisSessionService, f"a{method}"))
            assert name_operation(method) == name
