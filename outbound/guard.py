"""The address guard: what a customer typed must not lead into our own network.

The check stands at the socket, after name resolution, so that neither a DNS answer nor a redirect slips past it: the
address that was checked is the address that is connected to.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.poolmanager import PoolManager

from .errors import AddressRefused, Temporary


def is_public(address: str) -> bool:
    """Whether `address` (an IP in text) is one that anybody on the internet may reach."""
    ip = ipaddress.ip_address(address.split("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_global and not (mapped or ip).is_multicast


def _public_addresses(host: str, port: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
    for family, _, _, _, address in socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM):
        if not is_public(str(address[0])):
            raise AddressRefused(f"{host} leads to {address[0]}, which is not a public address")
        yield family, address


def open_socket(host: str, port: int, *, allow_private: bool, timeout: float) -> socket.socket:
    """A TCP connection for a protocol that is not HTTP, to the first address of `host` that answers.

    Raises `AddressRefused`, and `Temporary` when nobody answers in `timeout` seconds.
    """
    last: OSError | None = None
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM) if allow_private else None
        addresses = [(row[0], row[4]) for row in found] if found else list(_public_addresses(host, port))
    except (OSError, UnicodeError) as error:
        raise Temporary(f"cannot resolve {host}: {error}", code="connection") from error
    for family, address in addresses:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.settimeout(timeout)
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            last = error
    raise Temporary(f"cannot connect to {host}:{port}: {last}", code="connection") from last


def _guarded_socket(connection: HTTPConnection) -> socket.socket:
    """Connect to the first public address of the connection's host that answers."""
    last: OSError | None = None
    try:
        addresses = list(_public_addresses(connection.host, connection.port))
    except socket.gaierror as error:
        raise NewConnectionError(connection, f"cannot resolve {connection.host}: {error}") from error
    for family, address in addresses:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            timeout = connection.timeout
            if isinstance(timeout, (int, float)):
                sock.settimeout(timeout)
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            last = error
    if isinstance(last, TimeoutError):
        raise ConnectTimeoutError(connection, f"connecting to {connection.host} timed out") from last
    raise NewConnectionError(connection, f"cannot connect to {connection.host}: {last}") from last


class _GuardedHTTPConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _guarded_socket(self)


class _GuardedHTTPSConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _guarded_socket(self)


class _GuardedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _GuardedHTTPConnection


class _GuardedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedHTTPSConnection


class _GuardedAdapter(HTTPAdapter):
    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        manager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **kwargs)
        manager.pool_classes_by_scheme = {"http": _GuardedHTTPPool, "https": _GuardedHTTPSPool}
        self.poolmanager = manager


def new_session(*, allow_private: bool, pool_size: int = 16) -> requests.Session:
    """A pooled `requests` session; with `allow_private` it may also reach private and loopback addresses.

    Proxies and credentials of the environment are ignored: what leaves the house leaves through this door only.
    """
    session = requests.Session()
    session.trust_env = False
    adapter_class = HTTPAdapter if allow_private else _GuardedAdapter
    adapter = adapter_class(pool_connections=pool_size * 16, pool_maxsize=pool_size)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
