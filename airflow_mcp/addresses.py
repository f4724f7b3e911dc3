"""Properties of addresses: loopback, protection against tampering in transit, and the peer that a client counts as."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

_LONGEST_ADDRESS = 64  # characters: an IPv6 address with its zone


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine itself: `localhost` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_sheltered(url: str) -> bool:
    """Return whether nobody between here and a URL can alter its answers: https, or http to this machine itself."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or port == 0 or parts.username is not None or not url.isprintable() or " " in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def derive_peer(host: str) -> str:
    """Return the peer that a client's address stands for: the address itself, or of IPv6 its /64 network.

    One machine usually has a whole /64. Text that is no IP address, which a proxy may pass on unread, is one peer:
    "unknown".
    """
    if len(host) > _LONGEST_ADDRESS:
        return "unknown"
    try:
        address = ip_address(host)
    except ValueError:
        return "unknown"
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address) if address.is_loopback else str(ip_network((int(address) >> 64 << 64, 64)))
