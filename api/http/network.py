"""From where somebody calls: a network, /24 or /48, enough for an audit and a limit, too little to follow a person."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from aiohttp import hdrs
from aiohttp.web import BaseRequest

from db.audit import Network


def parse_proxies(text: str | None) -> tuple[Network, ...]:
    """The addresses and networks of a list with commas; `ValueError` if something in it is neither."""
    return tuple(ip_network(item.strip(), strict=False) for item in text.split(",")) if text else ()


def caller_network(request: BaseRequest, proxies: tuple[Network, ...]) -> Network | None:
    """The caller's network: that of the peer, or, if that is a proxy of ours, of whom it says it speaks for, and so on.

    Whatever a stranger wrote into X-Forwarded-For stands to the left of what our proxies added, and is never reached.
    """
    forwarded = request.headers.getall(hdrs.X_FORWARDED_FOR, ()) if proxies else ()
    return _network(request.remote or "", ",".join(forwarded), proxies)


@lru_cache(4_096)
def _network(peer: str, forwarded: str, proxies: tuple[Network, ...]) -> Network | None:
    caller, hops = _address(peer), forwarded.split(",")
    while caller and hops and any(caller in proxy for proxy in proxies):
        before = _address(hops.pop())
        if before is None:
            break  # nobody knows who wrote what stands before it
        caller = before
    if caller is None:
        return None
    return ip_network((caller, 24 if isinstance(caller, IPv4Address) else 48), strict=False)


def is_loopback(host: str) -> bool:
    """Whether the name or address of a host is this machine's own."""
    address = _address(host)
    return address.is_loopback if address else host == "localhost"


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address as proxies write it: perhaps in quotes or brackets, with a port, or with the zone of a local one."""
    text = text.strip(' \t"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
