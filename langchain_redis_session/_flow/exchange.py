"""What a driver needs of a client: exchanges, each a round trip on a connection of its own."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from langchain_redis_session._flow.advice import Origin
from langchain_redis_session._flow.requests import Command, Wait

Batch: TypeAlias = "list[Command | Wait]"


class Exchanges(Protocol):
    """Exchanges with Redis. Each takes a connection, sends, reads, and gives it back.

    One that did not end closes its connection, whatever ended it: the reply that is still to
    come must reach nobody.

    Attributes:
        origin: Where their client comes from.
    """

    origin: Origin

    def send(self, command: Command, node: str = "") -> Any:
        """Give a command's reply, as bytes; of the node with this name, where there are nodes.

        Raises:
            Exception: What redis-py makes of the server's error, or of having no reply.
        """

    def send_batch(self, batch: Batch) -> list[Any]:
        """Give the replies of commands that go in one round trip; errors stand among them."""

    def list_nodes(self) -> list[str]:
        """The names of the nodes that hold keys; one without a name where there is no cluster."""


class AsyncExchanges(Protocol):
    """Likewise, for tasks of one event loop."""

    origin: Origin

    async def send(self, command: Command, node: str = "") -> Any:
        """As of `Exchanges`."""

    async def send_batch(self, batch: Batch) -> list[Any]:
        """As of `Exchanges`."""

    async def list_nodes(self) -> list[str]:
        """As of `Exchanges`."""


def to_commands(batch: Batch) -> list[Command]:
    """The commands of a batch as they are sent."""
    return [
        ("WAIT", command.replicas, command.timeout_ms) if isinstance(command, Wait) else command
        for command in batch
    ]
