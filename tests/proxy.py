"""A TCP proxy in front of a server, for breaking connections at a chosen moment.

    proxy.cut_after(0, match=b"EVALSHA")   # the server does it, the reply gets lost
    proxy.cut_before(b"EVALSHA")            # the server never hears of it
    proxy.refuse()                          # nobody listens; `accept()` ends it
    proxy.stall()                           # no reply comes; `resume()` ends it
    proxy.silence()                         # connections stay open, and nothing passes any more
    proxy.drip()                            # replies come a byte at a time

A proxy with certificates speaks TLS on its own side: `rediss://` in front of a server that
was built without.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis
import redis.asyncio

from tests.servers import HOST, PATIENT, Certificates, free_port
from tests.waits import PATIENCE_S


@dataclass
class _Trap:
    """Cuts a connection, once or `times` times."""

    reply_bytes: int
    """How many bytes of replies still pass after the match; -1 cuts before the request."""
    match: bytes
    times: int


class CuttingProxy:
    """Forwards `port` to `target_port`, until told otherwise.

    Attributes:
        port: Where it listens.
        connections: How many connections it has taken.
        cuts: How many it has cut.
    """

    def __init__(self, target_port: int, certificates: Certificates | None = None) -> None:
        self.target_port = target_port
        self.certificates = certificates
        self.port = 0
        self.connections = 0
        self.cuts = 0
        self._lock = threading.Lock()
        self._flowing = threading.Event()
        self._flowing.set()
        self._drips = False
        self._trap: _Trap | None = None
        self._listener: socket.socket | None = None
        self._links: set[_Link] = set()
        self._threads: list[threading.Thread] = []
        self.accept()

    @property
    def url(self) -> str:
        """The URL of database 0, through the proxy."""
        if self.certificates:
            query = f"?ssl_ca_certs={self.certificates.authority}"
            return f"rediss://{HOST}:{self.port}/0{query}"
        return f"redis://{HOST}:{self.port}/0"

    def client(self, **options: Any) -> redis.Redis:
        """Make a client that goes through the proxy; closing it is up to the caller."""
        return redis.Redis.from_url(self.url, **{**PATIENT, **options})

    def async_client(self, **options: Any) -> redis.asyncio.Redis:
        """Make an async client that goes through the proxy; closing it is up to the caller."""
        return redis.asyncio.Redis.from_url(self.url, **{**PATIENT, **options})

    # What can go wrong.

    def cut_after(self, reply_bytes: int, *, match: bytes = b"", times: int = 1) -> None:
        """Cut the connection when so many bytes of replies have passed.

        Args:
            reply_bytes: How many bytes of replies get through first. With 0 the server does
                what it was asked, and the answer is lost.
            match: Count from the first request that contains this, on that connection.
                (Without, the handshake of a new connection counts too.)
            times: How often to do it; the connections after that are left alone.
        """
        with self._lock:
            self._trap = _Trap(reply_bytes, match, times)

    def cut_before(self, match: bytes, *, times: int = 1) -> None:
        """Cut the connection at a request that contains `match`, which the server never gets."""
        with self._lock:
            self._trap = _Trap(-1, match, times)

    def cut_now(self) -> None:
        """Cut all connections; new ones are taken."""
        with self._lock:
            links = list(self._links)
        self.cuts += len(links)
        for link in links:
            link.shut()

    def refuse(self) -> None:
        """Cut all connections and refuse new ones."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            _shut(listener)
            listener.close()
        self.cut_now()

    def accept(self) -> None:
        """Take connections (again), on the same port."""
        listener = self._listen()
        self.port = listener.getsockname()[1]
        with self._lock:
            self._listener = listener
        self._run(self._serve, listener)

    def stall(self) -> None:
        """Hold all replies back; requests still reach the server."""
        self._flowing.clear()

    def resume(self) -> None:
        """Let the replies go on."""
        self._flowing.set()

    def silence(self) -> None:
        """Let nothing pass on the connections that are open, as a firewall may; new ones work."""
        with self._lock:
            for link in self._links:
                link.is_silent = True

    def drip(self) -> None:
        """Pass replies on a byte at a time."""
        self._drips = True

    def forget(self) -> None:
        """Take the traps away that have not snapped."""
        with self._lock:
            self._trap = None

    def close(self) -> None:
        """Cut everything and end."""
        self.resume()
        self.refuse()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # How it is done: a thread for each connection.

    def _listen(self) -> socket.socket:
        for _ in range(10):
            with contextlib.suppress(OSError):  # somebody was faster
                return socket.create_server((HOST, self.port or free_port()))
        return socket.create_server((HOST, self.port or free_port()))

    def _run(self, function: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=function, args=args, daemon=True, name="cutting-proxy")
        self._threads.append(thread)
        thread.start()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return  # refused or closed
            self.connections += 1
            self._run(self._connect, client)

    def _connect(self, client: socket.socket) -> None:
        try:
            if self.certificates:
                client = self.certificates.server_context().wrap_socket(client, server_side=True)
            server = socket.create_connection((HOST, self.target_port))
        except OSError:  # no TLS spoken, or no server there
            _shut(client)
            client.close()
            return
        link = _Link(client, server)
        with self._lock:
            self._links.add(link)
            if self._listener is None:  # refused while this one came in
                link.shut()
        with client, server, contextlib.suppress(OSError):
            while self._forward(link):
                pass
        with self._lock:
            self._links.discard(link)

    def _forward(self, link: _Link) -> bool:
        """Pass on what has come; say whether more may come."""
        stalled = not self._flowing.is_set()
        ends = [link.client] if stalled else [link.client, link.server]
        for end in link.readable(ends, 0.01 if stalled else None):
            if end is link.server and not self._flowing.is_set():
                continue  # stalled while waiting
            data = end.recv(65536)
            if not data or (end is link.client and self._is_trap(link, data)):
                link.shut()
                return False
            if link.is_silent:
                continue
            if end is link.client:
                link.server.sendall(data)
                continue
            link.request = b""
            if link.left is not None and link.left <= len(data):
                link.client.sendall(data[: link.left])
                self.cuts += 1
                link.shut()
                return False
            link.left = None if link.left is None else link.left - len(data)
            for start in range(0, len(data), 1 if self._drips else len(data)):
                link.client.sendall(data[start : start + 1] if self._drips else data)
        return True

    def _is_trap(self, link: _Link, data: bytes) -> bool:
        """Look whether the trap snaps at this request; say whether to cut at once."""
        link.request = link.request[-64:] + data  # a match may come in two pieces
        with self._lock:
            trap = self._trap
            if trap is None or link.left is not None or trap.match not in link.request:
                return False
            trap.times -= 1
            if trap.times <= 0:
                self._trap = None
        if trap.reply_bytes < 0:
            self.cuts += 1
            return True
        link.left = trap.reply_bytes
        return False


class _Link:
    """A connection taken, and the one made for it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.is_silent = False
        self.left: int | None = None
        """How many bytes of replies still pass, once a trap has snapped."""
        self.request = b""
        """The end of what the client has sent since the last reply."""
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def readable(self, ends: list[socket.socket], timeout: float | None) -> list[socket.socket]:
        """Wait for something to read; give the ends that have it."""
        if isinstance(self.client, ssl.SSLSocket) and self.client.pending():
            return [self.client]  # decrypted already: select doesn't know
        ready: list[socket.socket] = select.select(ends, [], [], timeout)[0]
        return ready

    def shut(self) -> None:
        """End both; whoever waits for them notices."""
        _shut(self.client)
        _shut(self.server)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
