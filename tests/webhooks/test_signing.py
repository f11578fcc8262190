"""Signatures: by the vector of the Standard Webhooks libraries, and as receivers verify them."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from laneway.webhooks.signing import OVERLAP, headers, secret_of, signing_numbers

KEY = "a key of the tests, 32 bytes long"
NOW = datetime(2026, 11, 29, tzinfo=UTC)


def test_the_vector_that_all_libraries_share() -> None:
    signed = headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        '{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        datetime.fromtimestamp(1614265330, UTC),
    )
    assert signed == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_secret_has_the_form_of_the_standard_and_belongs_to_one_webhook() -> None:
    secret = secret_of(KEY, "0123456789ab", 1)
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert secret == secret_of(KEY, "0123456789ab", 1)
    others = [
        secret_of(KEY, "0123456789ab", 2),
        secret_of(KEY, "0123456789ac", 1),
        secret_of(KEY + "x", "0123456789ab", 1),
    ]
    assert len({secret, *others}) == 4


def test_a_receiver_verifies_and_notices_a_change() -> None:
    secret = secret_of(KEY, "0123456789ab", 1)
    signed = headers("msg_1", '{"a":1}', [secret])
    assert Webhook(secret).verify('{"a":1}', signed) == {"a": 1}
    for body, changed in (('{"a":2}', {}), ('{"a":1}', {"webhook-id": "msg_2"})):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, signed | changed)
    old = headers("msg_1", "{}", [secret], datetime.now(UTC) - timedelta(minutes=6))
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(secret).verify("{}", old)


def test_secrets_around_a_rotation() -> None:
    """A delivery made before a rotation passes after it, and one made within a day passes at receivers that were not changed."""

    def passes(numbers: list[int], number: int) -> bool:
        signed = headers("msg_1", "{}", [secret_of(KEY, "w", n) for n in numbers])
        try:
            Webhook(secret_of(KEY, "w", number)).verify("{}", signed)
        except WebhookVerificationError:
            return False
        return True

    assert [passes(signing_numbers(1, None, NOW), number) for number in (1, 2, 3)] == [True, True, False]
    fresh, settled = signing_numbers(2, NOW, NOW), signing_numbers(2, NOW, NOW + OVERLAP)
    assert [passes(fresh, number) for number in (1, 2)] == [True, True]
    assert [passes(settled, number) for number in (1, 2)] == [False, True]
