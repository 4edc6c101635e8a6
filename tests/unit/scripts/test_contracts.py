"""A script's header is its contract: what it takes, by name and in order, and what it gives."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_type_hints

import pytest

from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session._keys.memory import NamespaceKeys
from langchain_redis_session._keys.zset import Keyspace, SessionKeys
from langchain_redis_session.models import SessionKey
from langchain_redis_session.scripts import bindings, memory_bindings, replies, summary_bindings
from langchain_redis_session.scripts.bindings import (
    Create,
    End,
    Entry,
    RemovedEntry,
    StateWrite,
    Use,
)
from langchain_redis_session.scripts.memory_bindings import ItemWrite
from langchain_redis_session.scripts.replies import Fate, Status

FOLDER = Path(bindings.__file__).parent
TESTS = Path(__file__).parents[2] / "scripts"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("[!_]*.lua"))
SHARED = sorted(path.stem for path in FOLDER.glob("_*.lua"))

# A line of a header: "KEYS  name, name" or, below it, "      name  what it means".
LABEL = re.compile(r"-- (KEYS|ARGV|Gives)\b *(.*)")
NAMES = re.compile(r"(\w+(?:, \w+)*|…)(?:  .*)?")
NAMING = re.compile(r"local ([\w,\s]+?)\s*=\s*unpack\((KEYS|ARGV)(?:, 1, (\d+))?\)\n")
STATUS = re.compile(r"\{'([A-Z]+)'")


class Contract(NamedTuple):
    """What a header says: names, "…" for the rest behind them, and status words."""

    keys: list[str]
    args: list[str]
    statuses: set[str]


def read(name: str) -> tuple[str, str]:
    """Give a script's header and what follows it."""
    lines = (FOLDER / f"{name}.lua").read_text().splitlines(keepends=True)
    end = next(place for place, line in enumerate(lines) if not line.startswith("--"))
    return "".join(lines[:end]), "".join(lines[end:])


def parse_header(header: str) -> Contract:
    names: dict[str, list[str]] = {"KEYS": [], "ARGV": []}
    section = gives = ""
    for line in header.splitlines():
        if label := LABEL.match(line):
            section, text = label.groups()
        elif line.startswith("--       ") and not line.startswith("--        "):
            text = line[9:]
        else:  # it goes on with what a name means
            text = ""
        if section == "Gives":
            gives += line
        elif section and text:
            found = NAMES.fullmatch(text)
            assert found, f"not a name: {text!r}"
            names[section] += found[1].split(", ")
    return Contract(names["KEYS"], names["ARGV"], set(STATUS.findall(gives)))


def find_naming(body: str) -> dict[str, list[str]]:
    """Give the locals that the first lines make of KEYS and ARGV, with "…" if there are more."""
    found: dict[str, list[str]] = {"KEYS": [], "ARGV": []}
    for text, source, count in NAMING.findall(body):
        names = re.split(r",\s*", text)
        assert not count or int(count) == len(names), f"{len(names)} names for {count} of {source}"
        found[source] = [*names, "…"] if count else names
    return found


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_header_names_every_key_and_argument_in_order(name: str) -> None:
    header, body = read(name)
    contract, naming = parse_header(header), find_naming(body)
    assert contract.keys == naming["KEYS"]
    assert contract.args == naming["ARGV"]
    assert "…" not in contract.keys[:-1] + contract.args[:-1]


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_names_come_first(name: str) -> None:
    _, body = read(name)
    while match := NAMING.match(body):
        body = body[match.end() :]
    assert not NAMING.search(body), "a name is given further below"


@pytest.mark.parametrize("name", [*SCRIPTS, *SHARED])
def test_nothing_is_taken_by_its_number(name: str) -> None:
    _, body = read(name)
    rest = NAMING.sub("", body)
    # What is left are the arguments without a name of their own, behind a cursor.
    rest = re.sub(r"#(KEYS|ARGV)\b|\b(KEYS|ARGV)(\[|, )cursor\b", "", rest)
    assert not re.search(r"\b(KEYS|ARGV)\b", rest)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_reply_begins_with_a_status_of_the_header(name: str) -> None:
    header, body = read(name)
    replied = re.findall(r"\breturn (.*)", re.sub(r"(?s)\bfunction\b.*?\nend\n", "", body))
    words = set()
    for reply in replied:
        found = STATUS.match(reply)
        assert found, f"no status word: {reply}"
        words.add(found[1])
    assert words == parse_header(header).statuses


def test_the_alphabet_is_that_of_the_scripts() -> None:
    words = set().union(*(parse_header(read(name)[0]).statuses for name in SCRIPTS))
    assert words == {status.name for status in Status}
    assert all(status.value.decode() == status.name for status in Status)


def test_fates_have_the_numbers_that_scripts_give_them() -> None:
    text = (FOLDER / "_sequence.lua").read_text()
    names = ", ".join(fate.name for fate in Fate)
    numbers = ", ".join(str(fate.value) for fate in Fate)
    assert f"local {names} = {numbers}\n" in text


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_has_its_tests(name: str) -> None:
    assert (TESTS / f"test_{name}.py").exists()


BINDINGS: dict[str, Callable[..., ScriptCall[Any]]] = {
    name: function
    for module in (bindings, memory_bindings, summary_bindings)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__ and not name.startswith("_")
}
# With nothing for the rest.
EXAMPLES: dict[Any, Any] = {
    bool: True,
    bytes: b"x",
    int: 1,
    str: "x",
    bytes | None: None,
    bytes | str: b"x",
    int | None: 1,
    int | Literal["session"] | None: "session",
    Iterable[Entry]: [],
    Iterable[ItemWrite]: [],
    NamespaceKeys: Keyspace().app_memory("shop").namespace(b"facts:"),
    Iterable[RemovedEntry]: [],
    Iterable[bytes]: [],
    Iterable[tuple[bytes, bytes]]: [],
    Iterable[str]: [],
    Mapping[str, bytes]: {},
    Sequence[Entry]: [],
    Sequence[bytes]: [],
    Create: Create.NEVER,
    End: End.NEWEST,
    SessionKeys: Keyspace().session(SessionKey("shop", "ann", "s1")),
    Sequence[Use] | None: [],
    StateWrite | None: None,
}


def test_every_script_has_a_binding() -> None:
    assert sorted(BINDINGS) == SCRIPTS


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_binding_gives_what_the_header_names(name: str) -> None:
    types = get_type_hints(BINDINGS[name], vars(bindings) | vars(memory_bindings) | vars(replies))
    types.pop("return")
    call = BINDINGS[name](**{argument: EXAMPLES[kind] for argument, kind in types.items()})
    assert call.name == name
    contract = parse_header(read(name)[0])
    for given, names in ((call.keys, contract.keys), (call.args, contract.args)):
        assert len(given) == len([name for name in names if name != "…"])
