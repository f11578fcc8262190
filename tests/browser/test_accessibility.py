"""axe-core finds nothing serious in any view, in light and dark, wide and narrow."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.conftest import DESKTOP, PHONE, Arrive
from tests.browser.system import ADMIN, wait_for, yearly_cron

LOOKS = pytest.mark.parametrize(
    ("viewport", "dark"),
    [(DESKTOP, False), (DESKTOP, True), (PHONE, False), (PHONE, True)],
    ids=["desktop-light", "desktop-dark", "phone-light", "phone-dark"],
)


class Axe:
    """Collects what axe-core finds in the views that are shown to it, so that one run names all."""

    def __init__(self, script: str) -> None:
        self._script = script
        self.faults: list[str] = []

    def look(self, page: Page, where: str) -> None:
        page.wait_for_timeout(700)  # what is loading has come
        page.evaluate(self._script)  # through the debugger: the page's own policy does not concern it
        found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        self.faults += [
            f"{where}: {violation['id']} ({violation['impact']}): {node['target']} {node['failureSummary']}"
            for violation in found["violations"]
            if violation["impact"] in {"serious", "critical"}
            for node in violation["nodes"]
        ]
        excess = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if excess > 0:
            self.faults.append(f"{where} is wider than the window by {excess} pixels")


@LOOKS
def test_views(arrive: Arrive, axe: str, viewport: ViewportSize, dark: bool) -> None:
    seen = Axe(axe)
    visitor = arrive(viewport=viewport, dark=dark)
    page = visitor.open()
    seen.look(page, "log-in")
    page = visitor.log_in()
    seen.look(page, "empty queue")
    with visitor.system.client(visitor.name) as client:
        long = {"text": "a long word: " + "x" * 500, "list": list(range(300))}
        requests = [
            {"type": "echo", "request": long},
            {"type": "wordcount", "request": 1},
            {"type": "flaky", "request": {"fail_times": 2}},
            *[{"type": "sleep", "request": {"seconds": 60}}] * 7,
        ]
        jobs = client.post("/api/enqueue/batch", json={"requests": requests}).json()["job_ids"]
        wait_for(lambda: client.get(f"/api/jobs/{jobs[1]}").json()["state"] == "failed")
    seen.look(page, "queue")
    page.keyboard.press("n")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_text("From a program").click()
    page.get_by_role("dialog").get_by_label("Joins the lane").select_option("after a delay")
    seen.look(page, "new request")
    page.get_by_role("dialog").get_by_label("Type").fill("resize")
    expect(page.get_by_role("dialog").get_by_label("Picture")).to_be_visible()
    seen.look(page, "form of a type")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    seen.look(page, "palette")
    page.keyboard.press("Escape")
    page.get_by_role("button", name=f"Account of {visitor.name}").click()
    seen.look(page, "menu of the account")
    for job in (*jobs[:3], jobs[-1]):
        page = visitor.open(f"/ui/jobs/{job}")
        seen.look(page, f"job {job}")
    page = visitor.open("/ui/jobs/0000000000000000000000000")
    expect(page.get_by_text("This cannot be shown")).to_be_visible()
    seen.look(page, "no job")
    visitor.watch.forgive("404")
    page = visitor.open("/ui/history")
    seen.look(page, "history")
    page.get_by_role("button", name="stop updates").click()
    seen.look(page, "stopped")
    with visitor.system.client(visitor.name) as client:
        client.post(
            "/api/keys", json={"name": "a key with a long name " + "x" * 40, "scopes": ["admin", "read"]}
        )
    page = visitor.open("/ui/schedules")
    seen.look(page, "no schedules")
    with visitor.system.client(visitor.name) as client:
        client.put("/api/schedules/nightly", json={"request": long, "cron": yearly_cron()})
        client.put("/api/schedules/paused", json={"request": 1, "every_seconds": 3600})
        client.post("/api/schedules/paused/pause")
    page = visitor.open("/ui/schedules")
    seen.look(page, "schedules")
    page.get_by_role("button", name="Edit nightly").click()
    page.get_by_text("Next five times").click()
    seen.look(page, "schedule")
    page = visitor.open("/ui/webhooks")
    seen.look(page, "no webhooks")
    with visitor.system.client(visitor.name) as client:
        reply = client.post("/api/webhooks", json={"url": "http://127.0.0.1:9/" + "long/" * 60})
        client.post(f"/api/webhooks/{reply.json()['webhook_id']}/disable")
    page = visitor.open("/ui/webhooks")
    seen.look(page, "webhooks")
    page.get_by_role("button", name="New webhook").click()
    seen.look(page, "new webhook")
    page.keyboard.press("Escape")
    page = visitor.open("/ui/account")
    expect(page.get_by_role("list", name="API keys")).to_be_visible()
    seen.look(page, "account")
    page.get_by_role("button", name="New key").click()
    seen.look(page, "new key")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Delete the account…").click()
    seen.look(page, "delete the account")
    assert seen.faults == []


@LOOKS
def test_views_for_operators(arrive: Arrive, axe: str, viewport: ViewportSize, dark: bool) -> None:
    seen = Axe(axe)
    user, visitor = arrive(), arrive(viewport=viewport, dark=dark)
    user.system.register(user.name)
    with user.system.client(user.name) as client:
        for _ in range(7):
            client.post("/api/enqueue", json={"type": "sleep", "request": {"seconds": 60}})
        client.post("/api/enqueue", json={"type": "wordcount", "request": "x" * 300})
    page = visitor.log_in(ADMIN)
    for view in ("overview", "lanes", "ring", "race", "failures", "workers", "users", "audit"):
        page = visitor.open(f"/ui/{view}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        seen.look(page, view)
    if viewport == PHONE:
        page.get_by_role("button", name="More").click()
        seen.look(page, "more views")
    page = visitor.open(f"/ui/lanes?user={user.name}")
    page.get_by_role("button", name=f"Purge the lane of {user.name}").click()
    seen.look(page, "purge")
    page.keyboard.press("Escape")
    page.get_by_role("button", name=f"Limit the lane of {user.name}").click()
    seen.look(page, "limit")
    assert seen.faults == []
