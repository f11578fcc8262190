"""Parses IP addresses."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address


def parse_ip(text: str) -> IPv4Address | IPv6Address:
    """Return the address that a text names. One that is mapped into IPv6 (`::ffff:10.0.0.1`) is returned as IPv4. Raises ValueError."""
    address = ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address
