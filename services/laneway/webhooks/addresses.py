"""Where deliveries may go: to public addresses over HTTPS, and to networks that the operator allows.

Otherwise any user could have a worker send requests to the services beside it, or to the cloud's metadata (SSRF). A name is
checked by what it resolves to, and the connection goes to the address that was checked: a name that resolves to something else
a moment later (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

from laneway.ip_address import parse_ip

MAX_URL_CHARACTERS = 2000
RESOLVE_SECONDS = 3.0
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Awaitable[list[str]]]
"""Returns the addresses of a host."""

_PORTS = {"https": 443, "http": 80}
_HOST, _PATH = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+"), re.compile(r"[\x21-\x7e]*")
_GLOBAL_IPV6 = IPv6Network("2000::/3")
_TUNNELS = (IPv6Network("2001::/32"), IPv6Network("2002::/16"))
"""Teredo and 6to4: they lead to IPv4 addresses, and nobody needs them."""
_NAT64 = IPv6Network("64:ff9b::/96")
"""Leads to the IPv4 address in its last 32 bits: how a cluster with IPv6 alone reaches public servers."""
_PLATFORM = (IPv4Network("192.0.0.0/24"), IPv4Network("168.63.129.16/32"))
"""Protocol assignments, among which are a cloud's metadata, and Azure's wire server: some of them count as public."""


class Refused(Exception):
    """Nothing is delivered to this URL or address. The text says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of a webhook's URL. `path` has the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def at(self, address: Address) -> str:
        """Return the URL with an address in the place of the host."""
        host = f"[{address}]" if address.version == 6 else str(address)
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def target_of(url: str) -> Target:
    """Return the parts of a URL. Raises Refused."""
    if len(url) > MAX_URL_CHARACTERS:
        raise Refused(f"the URL has more than {MAX_URL_CHARACTERS} characters")
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        port = parts.port
    except ValueError:
        raise Refused("this is no URL") from None
    if parts.scheme not in _PORTS or not _HOST.fullmatch(host) or port == 0 or not url.isprintable():
        raise Refused("give a URL such as https://example.com/hooks")
    if parts.username is not None or parts.password is not None or "#" in url:
        raise Refused("the URL may have no user, no password and no fragment")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _PATH.fullmatch(path):
        raise Refused("escape what is not ASCII in the path of the URL with %")
    return Target(parts.scheme, host, port or _PORTS[parts.scheme], path)


def is_public(address: Address) -> bool:
    """Whether the address belongs to a server on the Internet, and to nothing nearer."""
    if address.version == 4:
        is_platform = any(address in network for network in _PLATFORM)
        return address.is_global and not address.is_multicast and not is_platform
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    is_tunnel = any(address in tunnel for tunnel in _TUNNELS)
    return address in _GLOBAL_IPV6 and address.is_global and not is_tunnel


async def resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


class Destinations:
    """Decides where deliveries may go. `allowed`: networks that are not public, to which plain HTTP may go too."""

    def __init__(self, allowed: Iterable[Network] = (), resolver: Resolver = resolve) -> None:
        self._allowed, self._resolver = tuple(allowed), resolver

    async def addresses(self, target: Target) -> list[Address]:
        """Return the addresses to connect to, each of them checked. Raises Refused.

        A host is refused if only one of its addresses may not be connected to: it is either wrong or meant to deceive.
        """
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                texts = await self._resolver(target.host, target.port)
        except (OSError, UnicodeError, TimeoutError):
            raise Refused(f"the host {target.host} cannot be resolved") from None
        found = [parse_ip(text.partition("%")[0]) for text in dict.fromkeys(texts)]
        for address in found:
            if any(address in network for network in self._allowed):
                continue
            if not is_public(address):
                raise Refused(f"the host {target.host} has an address that is not public")
            if target.scheme != "https":
                raise Refused("use https: deliveries go unencrypted to no public address")
        return found
