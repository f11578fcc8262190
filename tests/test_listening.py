"""`::` reaches every address of the host, and a host without IPv6 too."""

from __future__ import annotations

import socket

import pytest

from laneway import listening


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this host has no IPv6 loopback")


@needs_ipv6
@pytest.mark.parametrize("client", ["127.0.0.1", "::1"])
def test_a_socket_on_any_address_takes_both_families(client: str) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # as some hosts have it by default
        listening.accept_ipv4(listener)
        listener.bind((listening.bindable("::"), 0))
        listener.listen()
        socket.create_connection((client, listener.getsockname()[1]), timeout=5).close()


def test_a_host_without_ipv6_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> socket.socket:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", refuse)
    assert listening.bindable("::") == "0.0.0.0"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "localhost"])
def test_other_addresses_stay(host: str) -> None:
    assert listening.bindable(host) == host
