"""IP addresses as they are meant."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address


def meant_by(text: str) -> IPv4Address | IPv6Address:
    """Return the address in a text: the IPv4 address if it is one inside of an IPv6 address (`::ffff:10.0.0.1`). Raises ValueError."""
    address = ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address
