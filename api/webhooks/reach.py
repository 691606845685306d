"""Where webhooks may lead.

Whoever may add webhooks names the addresses that this process calls from inside its network. So each connection is
checked where it is made, by the address that the name stands for at that moment: what a name stood for before, or will
when it is looked up again, is worth nothing.
"""

import asyncio
import re
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp import AddrInfoType, SocketFactoryType
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from db.audit import Network

LONGEST_URL = 2_000
URL_TEXT = re.compile(r"https?://[\x21\x22\x24-\x5b\x5d-\x7e]+")  # printable ASCII without a fragment or a backslash
WEB_PORTS, OTHER_PORTS = (80, 443), range(1_024, 65_536)
NAT64 = IPv6Network("64:ff9b::/96")
# Where clouds answer their own machines, though Python 3.11 takes these addresses for public ones (Oracle's, Azure's).
INNER = (IPv4Network("192.0.0.0/24"), IPv4Network("168.63.129.16/32"))
EXAMPLE = "https://crm.example.com/hooks/feeds"

Address = IPv4Address | IPv6Address


class AddressForbiddenError(OSError):
    """A webhook's name stands for an address that webhooks may not lead to."""


def url_error(text: str, networks: Sequence[Network]) -> str | None:
    """What is wrong with the URL of a webhook, as far as can be seen without looking its name up; and the remedy."""
    url = _parsed(text)
    if url is None or len(text) > LONGEST_URL:
        return f"Give a URL like {EXAMPLE}: ASCII, without a fragment, at most {LONGEST_URL} characters."
    if url.user is not None or url.password is not None:
        return "Leave user and password out of the URL: receivers know the sender by the signature."
    if url.port not in WEB_PORTS and url.port not in OTHER_PORTS:
        return f"Use port 443, 80, or one from {OTHER_PORTS[0]} on."
    if url.scheme == "http" and not networks:
        return "Give a URL that begins with https://."
    address = _literal(url.host or "")
    if address and not may_lead_to(url.scheme, address, networks):
        return "Give a public address: webhooks are not sent to this one."
    return None


def may_lead_to(scheme: str, address: Address, networks: Sequence[Network]) -> bool:
    """Whether webhooks may: to public addresses by https, and by either to those that the operator named."""
    plain = _inner(address)
    return any(plain in network for network in networks) or (scheme == "https" and _is_public(plain))


def checking_sockets(scheme: str, networks: Sequence[Network]) -> SocketFactoryType:
    """Makes the sockets of connections that may be made; `AddressForbiddenError` for others."""

    def make(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not may_lead_to(scheme, ip_address(str(address[0]).partition("%")[0]), networks):
            raise AddressForbiddenError("not an address for webhooks")
        return socket.socket(family, kind, protocol)

    return make


class Resolver(AbstractResolver):
    """Looks names up in threads of their own: a name server that hangs must not hold up what uses the loop's."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        look_up = partial(
            socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        infos = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=int(address[1]), family=found, proto=protocol, flags=numeric
            )
            for found, _, protocol, _, address in infos
        ]

    async def close(self) -> None:
        pass


def _parsed(text: str) -> URL | None:
    try:
        url = URL(text) if URL_TEXT.fullmatch(text) else None
    except ValueError:
        return None
    return url if url and url.host else None


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for: mapped, NAT64 or 6to4."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: Address) -> bool:
    is_local = isinstance(address, IPv6Address) and address.is_site_local
    is_inner = any(address in network for network in INNER)
    return address.is_global and not (address.is_multicast or address.is_reserved or is_local or is_inner)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
