"""What Redis is named by: URLs, and `host=`, `port=`, `db=` in their place.

A URL often holds a password, also where it is malformed: then what looks like a host may be a
piece of it. So only what was understood as a whole is shown, and of that only where Redis is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote

from langchain_redis_session.errors import ConfigurationError, shorten

DEFAULT_PORT, DEFAULT_SENTINEL_PORT = 6379, 26379
_MOST_PORT = 65535

_LOGIN = r"(?:(?P<login>[^\s/?#\[\]]*)@)?"  # redis-py, too, takes the last @
_ONE_LOGIN = _LOGIN.replace(r"\s", r"\s@")  # where others might repeat it for each node
_NODE = r"(?:\[[0-9A-Fa-f:.]+\]|\w[\w.-]*)(?::\d+)?"
_NODES = rf"(?P<nodes>{_NODE}(?:,{_NODE})*)"
_QUERY = r"(?:\?(?P<query>(?:[A-Za-z_]+=[^\s@#&]*)(?:&[A-Za-z_]+=[^\s@#&]*)*))?"
_SERVER = rf"{_LOGIN}(?P<nodes>(?:{_NODE})?)(?:/(?P<database>\d{{0,9}}))?{_QUERY}"
_CLUSTER = rf"{_ONE_LOGIN}{_NODES}(?:/(?P<database>\d{{0,9}}))?{_QUERY}"
_SENTINEL = rf"{_ONE_LOGIN}{_NODES}/(?P<service>\w[\w.-]*)(?:/(?P<database>\d{{0,9}}))?{_QUERY}"
_SOCKET = rf"{_LOGIN}(?P<path>/[\w./%~+-]+){_QUERY}"
_MEMORY = r"(?P<name>.*)"

_LOGIN_FORM, _QUERY_FORM = "[user:password@]", "[?option=value]"
_SERVER_FORM = f"{_LOGIN_FORM}host[:port][/database]{_QUERY_FORM}"
_CLUSTER_FORM = f"{_LOGIN_FORM}host:port,host:port{_QUERY_FORM}"
_SENTINEL_FORM = f"{_LOGIN_FORM}host:port,host:port/service[/database]{_QUERY_FORM}"

# What comes after the scheme, and how to say so.
_FORMS = {
    "redis": (_SERVER, _SERVER_FORM),
    "rediss": (_SERVER, _SERVER_FORM),
    "unix": (_SOCKET, f"{_LOGIN_FORM}/path/of/the/socket{_QUERY_FORM}"),
    "redis+cluster": (_CLUSTER, _CLUSTER_FORM),
    "rediss+cluster": (_CLUSTER, _CLUSTER_FORM),
    "redis+sentinel": (_SENTINEL, _SENTINEL_FORM),
    "rediss+sentinel": (_SENTINEL, _SENTINEL_FORM),
    "memory": (_MEMORY, "name"),
}
_SCHEMES = ", ".join(f"{scheme}://" for scheme in _FORMS)


@dataclass(frozen=True)
class Address:
    """What a URL names.

    Attributes:
        scheme: As in the URL.
        nodes: Hosts with ports; of a server, one; of a socket or a memory, none.
        service: What Sentinels call it.
        database: Its number; None where the URL doesn't tell.
        name: Of a memory; of a socket, its path.
        login: User and password, percent-encoded.
        query: The options of clients, percent-encoded.
    """

    scheme: str
    nodes: tuple[tuple[str, int], ...] = ()
    service: str = ""
    database: int | None = None
    name: str = field(default="", repr=False)
    login: str | None = field(default=None, repr=False)
    query: str = field(default="", repr=False)

    @property
    def kind(self) -> str:
        """The scheme, whether with TLS or not."""
        return self.scheme.replace("rediss", "redis", 1)

    @property
    def is_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.scheme.startswith("rediss")

    def __str__(self) -> str:
        """The URL without its secrets."""
        text = f"{self.scheme}://"
        if self.kind == "memory":
            return text + (self.name if re.fullmatch(r"[\w.-]*", self.name) else "…")
        text += "***@" if self.login else ""
        if self.kind == "unix":
            return f"{text}{self.name}?db={self.database or 0}"
        text += ",".join(_join(*node) for node in self.nodes)
        parts = [self.service or None, self.database]
        return text + "".join(f"/{part}" for part in parts if part is not None)

    def url_of(self, host: str, port: int) -> str:
        """The URL that redis-py's clients understand, of one server.

        >>> parse_address("rediss+sentinel://:x@a,b/main/2?protocol=3").url_of("c", 1)
        'rediss://:x@c:1/2?protocol=3'
        """
        scheme = "rediss" if self.is_tls else "redis"
        return f"{scheme}://{self._before}{_join(host, port)}/{self.database or 0}{self._after}"

    @property
    def url(self) -> str:
        """The URL that redis-py's clients understand, of the one server."""
        if self.kind == "unix":
            return f"unix://{self._before}{self.name}{self._after}"
        return self.url_of(*self.nodes[0])

    @property
    def _before(self) -> str:
        return "" if self.login is None else f"{self.login}@"

    @property
    def _after(self) -> str:
        return f"?{self.query}" if self.query else ""


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_address(url: str, what: str = "redis_url=") -> Address:
    """Understand a URL as a whole.

    Spaces and newlines around it, as files have them at their ends, are no part of it.

    Raises:
        ConfigurationError: It can't be one; nothing of it is told but its scheme.
    """
    scheme, separator, rest = url.strip().partition("://")
    if scheme not in _FORMS or not separator:
        raise ConfigurationError(
            f"{what}… must begin with one of {_SCHEMES}, as in redis://localhost:6379"
        )
    pattern, form = _FORMS[scheme]
    match = re.fullmatch(pattern, rest, re.DOTALL)
    found = match.groupdict(default="") if match and _is_text(rest) else None
    nodes = _split_nodes(found.get("nodes", ""), scheme) if found is not None else None
    if found is None or nodes is None:
        raise ConfigurationError(
            f"{what}'{scheme}://…' can't be used: it does not have the form {scheme}://{form}; "
            "in the user and the password, percent-encode what is no letter or digit "
            "(urllib.parse.quote(password, safe=''))"
        )
    query = parse_qs(found.get("query", ""))
    database = query.get("db", [found.get("database", "")])[0]
    assert match is not None
    if scheme.endswith("cluster") and database.strip("0"):
        raise ConfigurationError(
            f"{what}'{scheme}://…' can't be used: a cluster has no database but 0; leave it "
            "out, and use key_prefix= to keep applications apart"
        )
    return Address(
        scheme,
        nodes,
        service=found.get("service", ""),
        database=int(database) if database.isascii() and database.isdigit() else None,
        name=found.get("name") or found.get("path", ""),
        login=match["login"] if "login" in found else None,
        query=found.get("query", ""),
    )


def _is_text(url: str) -> bool:
    try:
        url.encode()
    except UnicodeEncodeError:  # lone surrogates
        return False
    return True


def _split_nodes(text: str, scheme: str) -> tuple[tuple[str, int], ...] | None:
    """Hosts and ports; None where a port can't be one."""
    if scheme in ("unix", "memory"):
        return ()
    default = DEFAULT_SENTINEL_PORT if scheme.endswith("sentinel") else DEFAULT_PORT
    nodes = []
    for node in (text or "localhost").split(","):
        host, separator, port = node.rpartition(":")
        if not separator or port.endswith("]"):
            host, port = node, str(default)
        if not port.isascii() or not 0 < int(port) <= _MOST_PORT:
            return None
        nodes.append((host.strip("[]"), int(port)))
    return tuple(nodes)


_NAMING = ("host", "port", "db", "path", "ssl")


def pop_address(options: dict[str, Any]) -> Address | None:
    """Take out of clients' options what names a server; None where nothing does.

    >>> print(pop_address({"host": "db", "ssl": True}))
    rediss://db:6379/0

    Raises:
        ConfigurationError: A value can't work.
    """
    given = {name: options.pop(name) for name in _NAMING if options.get(name) is not None}
    if not given:
        return None
    scheme = "rediss" if given.pop("ssl", False) else "redis"
    database = _check_number("db", given.get("db", 0))
    if "path" in given:
        if len(given.keys() - {"db"}) > 1 or scheme == "rediss":
            raise ConfigurationError("path= names a socket; leave out host=, port= and ssl=")
        return parse_address(f"unix://{quote(str(given['path']))}?db={database}", "path=")
    host = given.get("host", "localhost")
    if not isinstance(host, str) or not re.fullmatch(r"[\w.:-]+", host):
        raise ConfigurationError("host= must be the name or the IP address of a server, alone")
    port = _check_number("port", given.get("port", DEFAULT_PORT))
    if not 0 < port <= _MOST_PORT:
        raise ConfigurationError(f"port={port} can't work: ports lie between 1 and {_MOST_PORT}")
    return Address(scheme, ((host, port),), database=database)


def _check_number(name: str, value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,9}", str(value)):
        raise ConfigurationError(f"{name}={shorten(value)} can't work: give a whole number")
    return int(str(value))


def refuse_second_address(options: Mapping[str, Any], address: Address, what: str) -> None:
    """Refuse what names another server beside a URL.

    Raises:
        ConfigurationError: Something does.
    """
    tls = options.get("ssl")
    if tls is not None and bool(tls) is not address.is_tls:
        shown = f"ssl={shorten(tls)} beside {what}'{address}'"
        if not address.kind.startswith("redis"):
            raise ConfigurationError(f"{shown}, which has no TLS; leave it out")
        wanted = address.kind.replace("redis", "rediss", 1) if tls else address.kind
        raise ConfigurationError(
            f"{shown}: whether to use TLS stands in the URL's scheme; write {wanted}://"
        )
    for name in _NAMING:
        if name != "ssl" and options.get(name) is not None:
            raise ConfigurationError(
                f"{name}= beside {what}'{address}': both say where Redis is; put it into the "
                "URL, or leave the URL out"
            )
