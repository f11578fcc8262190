# Written by docs/synchronous_client.py: change asynchronous/connection.py instead.
"""A client's connection to the API: log-in, retries, and streams."""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
import stamina

from laneway.client import calls
from laneway.client.calls import Call
from laneway.client.errors import Unauthorized, error_for
from laneway.client.retrying import WAIT_MAX_SECONDS, backoff, unreachable

T = TypeVar("T")
SILENCE_SECONDS = 60.0
"""A stream that is silent for this long is broken: the server writes at every heartbeat (10 s by default)."""


class Connection:
    """A pool of connections to one API, as one user. `Client` has the arguments."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None,
        username: str | None,
        password: str | None,
        timeout_seconds: float,
        retry_seconds: float,
    ) -> None:
        self._http = httpx2.Client(base_url=url, verify=_tls(url), timeout=timeout_seconds)
        self._token, self._username, self._password = token, username, password
        self._retry_seconds = retry_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def login(self) -> str:
        """Log in with the client's username and password, and return the token."""
        if self._username is None or self._password is None:
            raise ValueError("the client has no username and password to log in with")
        self._token = self.run(calls.login(self._username, self._password)).token
        return self._token

    def run(self, call: Call[T]) -> T:
        """Make one call, with log-in and retries. All methods of the client are made of it."""
        for attempt in stamina.retry_context(
            on=backoff,
            attempts=None if call.repeatable else 1,
            timeout=self._retry_seconds,
            wait_max=WAIT_MAX_SECONDS,
        ):
            with attempt:
                return call.parse(self._send(call).content)
        raise AssertionError("stamina returns or raises")

    def stream(self, call: Call[Any]) -> httpx2.Response:
        """Make a call whose answer is a stream, as `run` does. Close the answer."""
        for attempt in stamina.retry_context(
            on=backoff, attempts=None, timeout=self._retry_seconds, wait_max=WAIT_MAX_SECONDS
        ):
            with attempt:
                return self._send(call, stream=True)
        raise AssertionError("stamina returns or raises")

    def _send(self, call: Call[Any], *, stream: bool = False) -> httpx2.Response:
        response = self._exchange(call, stream=stream)
        if response.status_code == Unauthorized.status and call.authorized and self._password is not None:
            self.login()  # the token has expired
            response = self._exchange(call, stream=stream)
        if response.is_error:
            raise error_for(response)
        return response

    def _exchange(self, call: Call[Any], *, stream: bool) -> httpx2.Response:
        headers = {**call.headers, **(self._authorization() if call.authorized else {})}
        content = call.content()
        if content is not None:
            headers["content-type"] = "application/json"
        try:
            request = self._http.build_request(
                call.method, call.path, content=content, params=call.params, headers=headers
            )
            if stream:
                request.extensions["timeout"]["read"] = SILENCE_SECONDS
            response = self._http.send(request, stream=stream)
            if response.is_error:
                response.read()
            return response
        except httpx2.TransportError as error:
            raise unreachable(error) from error

    def _authorization(self) -> dict[str, str]:
        if self._token is None:
            self.login()
        return {"authorization": f"Bearer {self._token}"}


def _tls(url: str) -> ssl.SSLContext | bool:
    """Return the certificates to trust: the usual ones, or none for a plain address, since it takes 25 ms to load them."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if url.startswith("http:") else True
