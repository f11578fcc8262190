"""Addresses to listen on: `::` stands for every address, IPv6 and IPv4, also on a host that has no IPv6."""

from __future__ import annotations

import socket

ANY, ANY_IPV4 = "::", "0.0.0.0"


def bindable(host: str) -> str:
    """Return the address to bind: `0.0.0.0` instead of `::` where the host cannot listen on IPv6."""
    if host != ANY:
        return host
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            accept_ipv4(probe)
            probe.bind((ANY, 0))
    except OSError:
        return ANY_IPV4
    return ANY


def accept_ipv4(listener: socket.socket) -> None:
    """Let an IPv6 socket take IPv4 connections too, whatever the host's default is. Call it before `bind`."""
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
