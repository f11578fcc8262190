"""The client where an OpenID Connect issuer logs users in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from laneway.client import Client, Forbidden, RequestRefused, Unauthorized
from tests.api.conftest import start_api
from tests.api.running import Api
from tests.servers.issuer import CLIENT_ID, issuer

__all__ = ["start_api"]
REDIRECT = "http://127.0.0.1:9/ui/login"


def test_a_token_of_the_issuer_is_a_token(start_api: Callable[..., Api]) -> None:
    with issuer() as idp:
        api = start_api(oidc_issuer=idp.url, oidc_client_id=CLIENT_ID, oidc_audience="programs")
        with Client(api.url, token=idp.token("ann", aud="programs"), retry_seconds=5) as client:
            job = client.enqueue("echo", 1)
            assert client.job(job.id).user == "oidc.ann"
            assert client.account().issuer == idp.url
            ways = client.ways_to_log_in()
        with pytest.raises(Unauthorized), Client(api.url, token=idp.token("ann"), retry_seconds=5) as client:
            client.queue()
    assert ways.issuer is not None
    assert ways.issuer.authorization_endpoint == idp.url + "/authorize"


def test_a_code_of_the_issuer_logs_in(start_api: Callable[..., Api]) -> None:
    kept = {"code_verifier": "v" * 43, "nonce": "n" * 22, "redirect_uri": REDIRECT}
    with issuer() as idp:
        api = start_api(oidc_issuer=idp.url, oidc_client_id=CLIENT_ID)
        with Client(api.url, retry_seconds=5) as client:
            code = idp.code("ann", kept["code_verifier"], REDIRECT, kept["nonce"])
            token = client.log_in_at_issuer(code, **kept)
            assert client.account().username == "oidc.ann"
            with pytest.raises(RequestRefused):
                client.log_in_at_issuer(code, **kept)
            code = idp.code("", kept["code_verifier"], REDIRECT, kept["nonce"])
            with pytest.raises((Forbidden, RequestRefused)):
                client.log_in_at_issuer(code, **kept)
        assert "eyJ" in token
