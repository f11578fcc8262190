"""Sends deliveries from the processes of a worker.

An attempt makes a connection of its own to an address that was checked, follows no redirect, and reads nothing of the answer but
its status: what a receiver answers is nobody's business, least of all if the address was not the user's.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from laneway.delivery_lanes import DELIVERY
from laneway.handlers import Permanent, Registry, Room
from laneway.webhooks import signing
from laneway.webhooks.addresses import Address, Destinations, Network, Target, target_of
from laneway.webhooks.deliveries import Delivery, spec

if TYPE_CHECKING:
    import httpx2

ATTEMPT_SECONDS, CONNECT_SECONDS = 15.0, 5.0
MAX_ADDRESSES = 3
"""Addresses of a host that one attempt tries."""
AT_ONCE = 20
"""Deliveries that one process sends at once. Slow receivers must leave room for the users' jobs."""
USER_AGENT = "laneway-webhooks"
_is_sending: ContextVar[bool] = ContextVar("is_sending", default=False)


class DeliveryFailed(Exception):
    """The receiver did not answer as it should. The delivery is tried again."""


class Gone(Permanent):
    """The receiver answered 410: it wants no more deliveries."""


class Sender:
    """Signs with secrets under `key`. `authorities`: whose certificates are trusted; None for the system's."""

    def __init__(
        self, key: str, destinations: Destinations, authorities: ssl.SSLContext | None = None
    ) -> None:
        self._key, self._destinations, self._authorities = key, destinations, authorities
        self._client: httpx2.AsyncClient | None = None
        self._sending = 0

    def room(self) -> int:
        """Return how many more deliveries may start in this process now."""
        return AT_ONCE - self._sending

    async def deliver(self, payload: Any) -> dict[str, int]:
        """Make one attempt, as the handler of deliveries. Raises DeliveryFailed, Refused, Gone."""
        delivery = Delivery.of(payload)
        self._sending += 1
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                status = await self._post(delivery)
        except TimeoutError:
            raise DeliveryFailed(f"the receiver did not answer within {ATTEMPT_SECONDS:g} s") from None
        finally:
            self._sending -= 1
        if status == 410:
            raise Gone("the receiver answered 410")
        if not 200 <= status < 300:
            raise DeliveryFailed(f"the receiver answered {status}")
        return {"status": status}

    async def _post(self, delivery: Delivery) -> int:
        target = target_of(delivery.url)
        addresses = await self._destinations.addresses(target)
        secrets = (signing.secret_of(self._key, delivery.webhook_id, number) for number in delivery.secrets)
        headers = signing.headers(delivery.message_id, delivery.body, secrets) | {
            "host": target.authority,
            "content-type": "application/json",
            "user-agent": USER_AGENT,
        }
        failure = DeliveryFailed("the host has no address")
        for address in addresses[:MAX_ADDRESSES]:
            try:
                return await self._post_to(address, target, headers, delivery.body)
            except ConnectionError as error:
                failure = DeliveryFailed(str(error))
        raise failure

    async def _post_to(self, address: Address, target: Target, headers: dict[str, str], body: str) -> int:
        """Return the status of the answer. Raises ConnectionError if nothing was sent, and DeliveryFailed."""
        import httpx2  # noqa: PLC0415 - 100 ms and some memory, which workers without webhooks do not spend

        if self._client is None:
            self._client = await asyncio.to_thread(_client, self._authorities)
        sending = _is_sending.set(True)
        try:
            async with self._client.stream(
                "POST",
                target.at(address),
                content=body.encode(),
                headers=headers,
                extensions={"sni_hostname": target.host},
            ) as response:
                return response.status_code
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise ConnectionError(
                f"no connection to the receiver: {str(error) or type(error).__name__}"
            ) from error
        except httpx2.HTTPError as error:
            raise DeliveryFailed(f"the receiver broke off: {str(error) or type(error).__name__}") from error
        finally:
            _is_sending.reset(sending)


def with_deliveries(registry: Registry, key: str | None, allowed: Iterable[Network]) -> Registry:
    """Return the registry with the type of deliveries. Without a key there are no webhooks, and it stays as it is."""
    if key is None:
        return registry
    sender = Sender(key, Destinations(allowed))
    delivery = replace(spec(sender.deliver), room=Room(AT_ONCE, sender.room))
    return replace(registry, types=MappingProxyType({**registry.types, DELIVERY: delivery}))


def _client(authorities: ssl.SSLContext | None) -> httpx2.AsyncClient:
    """Make a client. No proxy from the environment: it would connect to addresses that nobody has checked."""
    import httpx2  # noqa: PLC0415 - see above

    logging.getLogger("httpx2").addFilter(_is_to_be_logged)
    return httpx2.AsyncClient(
        verify=authorities or ssl.create_default_context(),
        timeout=httpx2.Timeout(ATTEMPT_SECONDS, connect=CONNECT_SECONDS),
        limits=httpx2.Limits(max_keepalive_connections=0),
        trust_env=False,
        follow_redirects=False,
    )


def _is_to_be_logged(_record: logging.LogRecord) -> bool:
    """Refuse what the client logs of a delivery: the URL, in which users put tokens. Handlers may have clients of their own."""
    return not _is_sending.get()
