"""The account page: API keys, the password, the end of an account."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.conftest import DESKTOP, PHONE, Arrive, Visitor
from tests.browser.system import PASSWORD, wait_for

ATTACK = "<img src=x onerror=\"document.title='attacked'\">"


def _make_key(page: Page, name: str) -> str:
    """Make a key through the page and return the secret that it shows."""
    page.get_by_role("button", name="New key").click()
    dialog = page.get_by_role("dialog", name="New API key")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_label("Expires after").select_option("7 days")
    dialog.get_by_role("button", name="Make the key").click()
    shown = page.get_by_role("dialog", name=f"The key {name}")
    secret = shown.locator(".secret code").inner_text()
    shown.get_by_role("button", name="Copy the secret").click()
    assert page.evaluate("navigator.clipboard.readText()") == secret
    page.mouse.click(5, 5)  # beside the dialog: it must not take the secret away
    expect(shown).to_be_visible()
    shown.get_by_role("button", name="I have stored it").click()
    expect(shown).to_be_hidden()
    return secret


def _status(visitor: Visitor, secret: str) -> int:
    headers = {"authorization": f"Bearer {secret}"}
    return httpx.get(f"{visitor.system.url}/api/queue", headers=headers).status_code


@pytest.mark.parametrize(("viewport", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["desktop", "phone"])
def test_a_key_is_made_shown_once_and_revoked(arrive: Arrive, viewport: ViewportSize, dark: bool) -> None:
    visitor = arrive(viewport=viewport, dark=dark)
    visitor.log_in()
    page = visitor.open("/ui/account")
    expect(page.get_by_text("No program has a key of yours.")).to_be_visible()
    secret = _make_key(page, "importer")
    keys = page.get_by_role("list", name="API keys")
    expect(keys.get_by_role("listitem")).to_contain_text("never used")
    expect(keys.get_by_role("listitem")).to_contain_text(re.compile("expires in (7 d 0 h|6 d 23 h)"))
    assert secret not in page.content()
    assert _status(visitor, secret) == 200
    page.get_by_role("button", name="Revoke the key importer").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("No program has a key of yours.")).to_be_visible()
    assert _status(visitor, secret) == 401


def test_the_name_of_a_key_is_only_text(arrive: Arrive) -> None:
    visitor = arrive()
    visitor.log_in()
    page = visitor.open("/ui/account")
    _make_key(page, ATTACK)
    expect(page.get_by_role("list", name="API keys")).to_contain_text("<img src=x")
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.get_by_role("dialog")).to_contain_text("<img src=x")
    assert page.locator("main img, dialog img").count() == 0
    assert "attacked" not in page.title()


def test_a_changed_password_ends_other_sessions_and_this_one_goes_on(arrive: Arrive) -> None:
    visitor = arrive()
    visitor.log_in()
    page = visitor.open("/ui/account")
    with visitor.system.client(visitor.name) as other:
        page.get_by_label("Current password").fill("not the password")
        page.get_by_label("New password").fill("a better horse battery")
        page.get_by_role("button", name="Change the password").click()
        expect(page.get_by_role("region", name="Password").get_by_role("alert")).not_to_be_empty()
        page.get_by_label("Current password").fill(PASSWORD)
        page.get_by_role("button", name="Change the password").click()
        expect(page.get_by_text("The password is changed.")).to_be_visible()
        assert other.get("/api/queue").status_code == 401
    expect(page.get_by_label("Current password")).to_be_empty()
    page.get_by_role("link", name="History").click()
    expect(page.get_by_text("You have not enqueued anything yet.")).to_be_visible()
    expect(page.get_by_role("button", name="Live: stop updates")).to_be_visible()
    visitor.watch.forgive("400")


def test_an_account_is_deleted_after_its_name_and_password_were_typed(arrive: Arrive) -> None:
    """The dialog says in numbers what ends with the account."""
    visitor = arrive()
    visitor.log_in()
    with visitor.system.client(visitor.name) as client:
        for _ in range(7):
            client.post("/api/enqueue", json={"type": "sleep", "request": {"seconds": 60}})
        wait_for(lambda: client.get("/api/queue").json()["running"] == 5)
        client.post("/api/keys", json={"name": "importer"})
    page = visitor.open("/ui/account")
    page.get_by_role("button", name="Delete the account…").click()
    dialog = page.get_by_role("dialog", name=f"Delete the account {visitor.name}?")
    for part in ("2 jobs that wait", "5 jobs that run", "1 API key"):
        expect(dialog).to_contain_text(part)
    delete = dialog.get_by_role("button", name="Delete for ever")
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_label("Type your user name to confirm").fill("somebody-else")
    expect(delete).to_be_disabled()
    dialog.get_by_label("Type your user name to confirm").fill(visitor.name)
    delete.click()
    expect(page.get_by_text(f"The account {visitor.name} is deleted.")).to_be_visible()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    credentials = {"username": visitor.name, "password": PASSWORD}
    assert httpx.post(f"{visitor.system.url}/api/login", json=credentials).status_code == 400
