"""What acts for a user, stopped by an administrator."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Arrive
from tests.browser.system import ADMIN


def test_an_administrator_stops_what_acts_for_a_user(arrive: Arrive, axe: str) -> None:
    user, admin = arrive(), arrive()
    user.system.register(user.name)
    with user.system.client(user.name) as client:
        client.post("/api/keys", json={"name": "importer", "scopes": ["enqueue"]})
        client.post("/api/webhooks", json={"url": "http://127.0.0.1:9/hooks/T0PSECRET"})
        client.put("/api/schedules/nightly", json={"request": 1, "every_seconds": 7200})
    admin.log_in(ADMIN)
    page = admin.open(f"/ui/users?name={user.name}")
    page.get_by_role("button", name=f"What acts for {user.name}").click()
    dialog = page.get_by_role("dialog", name=f"What acts for {user.name}")
    expect(dialog.get_by_role("region", name="Webhooks")).to_contain_text("http://127.0.0.1:9")
    expect(dialog).not_to_contain_text("T0PSECRET")
    page.evaluate(axe)
    found = page.evaluate("axe.run('dialog', {resultTypes: ['violations']})")
    assert [violation["id"] for violation in found["violations"]] == []
    for region, name, verb in (
        ("API keys", "importer", "Revoke"),
        ("Webhooks", "http://127.0.0.1:9", "Disable"),
        ("Schedules", "nightly", "Pause"),
    ):
        stop = dialog.get_by_role("region", name=region).get_by_role("button", name=f"{verb} {name}")
        stop.click()
        page.get_by_role("dialog", name=f"{verb} {name} of").get_by_role("button", name=verb).click()
        expect(stop).to_be_hidden()
    expect(dialog.get_by_role("region", name="Webhooks")).to_contain_text("an administrator has disabled it")
    with user.system.client(user.name) as client:
        assert client.get("/api/keys").json()["keys"] == []
        assert client.get("/api/webhooks").json()["webhooks"][0]["disabled_reason"] is not None
        assert client.get("/api/schedules/nightly").json()["paused"] is True
    own = user.page
    user.log_in(user.name)
    user.open("/ui/webhooks")
    expect(own.get_by_text("only an administrator can enable it again")).to_be_visible()
    expect(own.get_by_role("button", name="Enable http://127.0.0.1:9")).to_be_hidden()
    dialog.get_by_role("button", name="Enable http://127.0.0.1:9").click()
    page.get_by_role("dialog", name="Enable http://127.0.0.1:9 of").get_by_role(
        "button", name="Enable"
    ).click()
    expect(own.get_by_role("button", name="Disable http://127.0.0.1:9")).to_be_visible()
    page = admin.open("/ui/audit")
    for action in (
        "paused a schedule of",
        "disabled a webhook of",
        "enabled a webhook of",
        "revoked an API key of",
    ):
        expect(page.get_by_text(f"{action} {user.name}").first).to_be_visible()
