"""Where deliveries may go: every kind of address that is not a public server is refused, and so are URLs that hide one."""

from __future__ import annotations

import asyncio
import re
from ipaddress import ip_address, ip_network

import pytest

from laneway.webhooks.addresses import Destinations, Refused, Target, is_public, target_of

NOT_PUBLIC = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",  # shared by carriers, and by some clouds for metadata
    "100.100.100.200",
    "127.0.0.1",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.168.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "232.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "64:ff9b::808:808"]


async def _texts(*texts: str) -> list[str]:
    return list(texts)


def addresses(*texts: str, url: str = "https://example.com/", allowed: str = "") -> list[str]:
    networks = [ip_network(allowed)] if allowed else []
    destinations = Destinations(networks, lambda _host, _port: _texts(*texts))
    return [str(address) for address in asyncio.run(destinations.addresses(target_of(url)))]


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_what_is_not_public(text: str) -> None:
    assert not is_public(ip_address(text))
    with pytest.raises(Refused, match="not public"):
        addresses(text)


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_public(text: str) -> None:
    assert addresses(text) == [text]


@pytest.mark.parametrize("text", ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"])
def test_an_ipv4_address_inside_of_an_ipv6_address_is_what_it_stands_for(text: str) -> None:
    with pytest.raises(Refused, match="not public"):
        addresses(text)
    assert addresses("::ffff:8.8.8.8") == ["8.8.8.8"]


def test_one_bad_address_among_good_ones_is_enough() -> None:
    with pytest.raises(Refused, match="not public"):
        addresses("8.8.8.8", "10.0.0.1")


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.1", "0x7f.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0"]
)
def test_the_systems_resolver_is_asked_whatever_the_host_looks_like(host: str) -> None:
    with pytest.raises(Refused, match=r"not public|cannot be resolved"):
        asyncio.run(Destinations().addresses(target_of(f"https://{host}/")))


def test_networks_that_are_allowed_and_plain_http_to_them_alone() -> None:
    assert addresses("10.1.2.3", url="http://hooks.internal:8080/", allowed="10.1.0.0/16") == ["10.1.2.3"]
    with pytest.raises(Refused, match="not public"):
        addresses("10.2.0.1", allowed="10.1.0.0/16")
    with pytest.raises(Refused, match="use https"):
        addresses("8.8.8.8", url="http://example.com/", allowed="10.1.0.0/16")


def test_a_host_that_does_not_exist_is_refused() -> None:
    async def fail(_host: str, _port: int) -> list[str]:
        raise OSError("no such host")

    with pytest.raises(Refused, match="cannot be resolved"):
        asyncio.run(Destinations((), fail).addresses(target_of("https://example.com/")))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user:secret@example.com/",
        "https://user@example.com/",
        "https://example.com/#fragment",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com/ü",
        "https://example.com/a b",
        "https://example.com/\r\nHost: internal",
        "https://exa mple.com/",
        "https://[::1/",
        "example.com",
        "https://example.com/" + "x" * 2000,
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(Refused):
        asyncio.run(Destinations((), lambda _h, _p: _texts("8.8.8.8")).addresses(target_of(url)))


def test_the_parts_of_a_url() -> None:
    target = target_of("https://Bücher.example:8443/a/b?c=d")
    assert target == Target("https", "xn--bcher-kva.example", 8443, "/a/b?c=d")
    assert target.authority == "xn--bcher-kva.example:8443"
    assert target.at(ip_address("8.8.8.8")) == "https://8.8.8.8:8443/a/b?c=d"
    assert target.at(ip_address("2606:4700::1111")) == "https://[2606:4700::1111]:8443/a/b?c=d"
    assert target_of("https://example.com").at(ip_address("8.8.8.8")) == "https://8.8.8.8:443/"
    assert target_of("https://example.com").authority == "example.com"
    assert re.fullmatch(r"\[2606.*\]", target_of("https://[2606:4700::1111]/").authority)
