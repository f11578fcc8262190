"""Webhooks: added, tried out, rotated, disabled and deleted on their page, with a real receiver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import ViewportSize, expect
from standardwebhooks.webhooks import Webhook

from tests.browser.conftest import DESKTOP, PHONE, Arrive
from tests.browser.system import wait_for
from tests.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.mark.parametrize(("viewport", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["desktop", "phone"])
def test_a_webhook_is_added_tested_rotated_disabled_and_deleted(
    arrive: Arrive, receiver: Receiver, viewport: ViewportSize, dark: bool
) -> None:
    visitor = arrive(viewport=viewport, dark=dark)
    visitor.log_in()
    page = visitor.open("/ui/webhooks")
    page.get_by_role("button", name="Add a webhook").click()
    dialog = page.get_by_role("dialog", name="New webhook")
    dialog.get_by_label("URL").fill("https://10.0.0.1/hooks")
    dialog.get_by_role("button", name="Add the webhook").click()
    expect(dialog.get_by_role("alert")).to_contain_text("not public")
    dialog.get_by_label("URL").fill(f"{receiver.url}/hooks")
    dialog.get_by_label("were cancelled").uncheck()
    dialog.get_by_label("Of these types").fill("echo, wordcount")
    dialog.get_by_role("button", name="Add the webhook").click()

    dialog = page.get_by_role("dialog", name="The secret of the webhook")
    secret = dialog.locator(".secret code").inner_text()
    page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="I have stored it").click()
    row = page.get_by_role("list", name="Webhooks").get_by_role("listitem")
    expect(row).to_contain_text("failed, succeeded of echo, wordcount")
    expect(row).to_contain_text("no delivery yet")

    page.get_by_role("button", name="Test", exact=False).first.click()
    wait_for(lambda: receiver.received)
    (delivery,) = receiver.received
    assert Webhook(secret).verify(delivery.body, delivery.headers)["type"] == "webhook.test"
    expect(row).to_contain_text("delivered")
    receiver.answer = lambda _: 500
    page.get_by_role("button", name="Test", exact=False).first.click()
    expect(row).to_contain_text("the receiver answered 500")

    page.get_by_role("button", name="New secret for").click()
    page.get_by_role("dialog", name="Replace the secret?").get_by_role("button", name="Replace").click()
    assert dialog.locator(".secret code").inner_text() != secret
    dialog.get_by_role("button", name="I have stored it").click()

    page.get_by_role("button", name=f"Disable {receiver.url}").click()
    page.get_by_role("dialog").get_by_role("button", name="Disable").click()
    expect(row).to_contain_text("you have disabled it")
    page.get_by_role("button", name=f"Enable {receiver.url}").click()
    expect(row).not_to_contain_text("disabled")
    page.get_by_role("button", name=f"Delete {receiver.url}").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No webhooks")).to_be_visible()
    visitor.watch.forgive("400")
