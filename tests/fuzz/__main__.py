"""`python -m tests.fuzz`: look for inputs that hide others or explode; write down what fails."""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import redis
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.fuzz import entries, identities, messages, providers
from tests.fuzz.field import BATCHES, IN_SESSIONS, Field
from tests.fuzz.findings import Finding, write
from tests.servers import RedisServer, find_redis_server

BATCH = 500


@dataclass
class Part:
    """One kind of input, and how it went."""

    name: str
    count: int
    run: Callable[[int], Iterator[int]]
    findings: list[Finding]
    done: int = 0
    seconds: float = 0.0


@dataclass
class Fuzzer:
    """All parts, from a seed.

    Attributes:
        seed: Gives the same inputs each time.
        client: A client of a server that is nobody else's: it is emptied all the time.
        minutes: How long a part may take.
        at_once: As a `Field` has it.
    """

    seed: int
    client: redis.Redis
    minutes: float = 10
    at_once: int | None = None
    parts: list[Part] = field(default_factory=list)

    def add(self, name: str, count: int, make: Callable[[list[Finding]], Iterator[int]]) -> None:
        """Add a part, which tells after each step how many inputs it was."""
        findings: list[Finding] = []
        self.parts.append(Part(name, count, lambda _: make(findings), findings))

    def plan(
        self, *, entry_count: int, message_count: int, name_count: int, provider_count: int = 0
    ) -> None:
        """Add everything there is."""
        ground = Field(self.client, self.at_once)
        self.add("entries", entry_count, lambda found: self._try_entries(ground, found))
        self.add("wrong types", 1, lambda found: self._try_types(ground, found))
        self.add("messages", message_count, self._try_messages)
        if provider_count:
            self.add("providers' messages", provider_count, self._try_providers)
        self.add("names", name_count, self._try_names)
        self.add("URLs", name_count, self._try_urls)

    def _try_entries(self, ground: Field, found: list[Finding]) -> Iterator[int]:
        waiting: dict[str, list[bytes]] = {}
        for kind, entry in entries.generate(self.seed, entries.make_seeds()):
            batch = waiting.setdefault(kind, [])
            batch.append(entry)
            if len(batch) >= BATCHES.get(kind, IN_SESSIONS):
                found += ground.try_all(kind, waiting.pop(kind))
                yield len(batch)

    def _try_types(self, ground: Field, found: list[Finding]) -> Iterator[int]:
        found += ground.try_wrong_types()
        yield 1

    def _try_messages(self, found: list[Finding]) -> Iterator[int]:
        return self._try_each(map(messages.try_message, messages.generate(self.seed)), found)

    def _try_providers(self, found: list[Finding]) -> Iterator[int]:
        made = providers.generate(self.seed)
        return self._try_each((messages.try_message(m, providers.make_plain) for m in made), found)

    def _try_each(self, tried: Iterator[Finding | None], found: list[Finding]) -> Iterator[int]:
        while batch := [*islice(tried, BATCH)]:
            found += filter(None, batch)
            yield len(batch)

    def _try_names(self, found: list[Finding]) -> Iterator[int]:
        tenants = identities.Tenants()
        return self._try_each(map(tenants.try_key, identities.generate_keys(self.seed)), found)

    def _try_urls(self, found: list[Finding]) -> Iterator[int]:
        return self._try_each(map(identities.try_url, identities.generate_urls(self.seed)), found)

    def run(self, console: Console) -> list[Finding]:
        """Try everything; gives what failed."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
            for part in self.parts:
                task = progress.add_task(part.name, total=part.count)
                started_s = time.monotonic()
                for size in part.run(0):
                    part.done += size
                    part.seconds = time.monotonic() - started_s
                    progress.update(task, completed=min(part.done, part.count))
                    if part.done >= part.count or part.seconds > self.minutes * 60:
                        break
        console.print(self.make_table())
        return [finding for part in self.parts for finding in part.findings]

    def make_table(self) -> Table:
        """Say how it went."""
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        table = Table(title=f"seed {self.seed}, at most {peak_kib / 1024:,.0f} MiB")
        table.add_column("inputs")
        for name in ("tried", "seconds", "a second", "failed"):
            table.add_column(name, justify="right")
        for part in self.parts:
            rate = part.done / part.seconds if part.seconds else 0
            row = (
                f"{part.done:,}",
                f"{part.seconds:,.1f}",
                f"{rate:,.0f}",
                str(len(part.findings)),
            )
            table.add_row(part.name, *row)
        return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz on a server of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--names", type=int, default=50_000, help="ids of tenants, and URLs")
    parser.add_argument("--minutes", type=float, default=10, help="the most that a part takes")
    parser.add_argument("--at-once", type=int, default=2, help="reads of each kind for an entry")
    options = parser.parse_args(arguments)
    console = Console()
    with RedisServer(find_redis_server()) as server, server.client() as client:
        fuzzer = Fuzzer(options.seed, client, options.minutes, options.at_once)
        fuzzer.plan(
            entry_count=options.entries,
            message_count=options.messages,
            provider_count=options.messages // 50,  # each takes so many times as long
            name_count=options.names,
        )
        findings = fuzzer.run(console)
    for path in write(findings):
        console.print(f"{path}:\n{path.read_text('utf-8')}", markup=False)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
