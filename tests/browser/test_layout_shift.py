"""Nothing that the reader looks at jumps: not while a page loads, and not when something happens."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.conftest import DESKTOP, PHONE, Arrive
from tests.browser.system import ADMIN, wait_for

MAX_SHIFT = 0.05
"""Sum of the scores of a page's layout shifts, as browsers report them; 0.1 is what they call good. A list that gets a row or loses one moves what
is below it, by some 0.01."""
MAX_SHIFT_OF_LOADING = 0.002
RECORD = """
window.shifts = [];
const nameOf = (node) => node ? `${node.nodeName}.${node.className} ${(node.textContent ?? '').trim().slice(0, 40)}` : 'gone';
const note = (entries) => {
  for (const entry of entries) {
    if (!entry.hadRecentInput) window.shifts.push({
      value: entry.value, at: entry.startTime,
      moved: entry.sources.map(({ node, previousRect: from, currentRect: to }) => `${nameOf(node)}: ${from.x},${from.y} to ${to.x},${to.y}`),
    });
  }
};
const observer = new PerformanceObserver((list) => note(list.getEntries()));
observer.observe({ type: 'layout-shift', buffered: true });
const frame = () => new Promise(requestAnimationFrame);
window.recorded = async () => {
  await frame();
  await frame();
  note(observer.takeRecords());
  return window.shifts;
};
"""
"""Records layout shifts, but for those within half a second of an input. `recorded` waits until what has just come is drawn."""
LATE = r"""
const ask = window.fetch;
window.fetch = async (url, options) => {
  const answer = await ask(url, options);
  if (/\/(logs|why|keys|workers|login)$|failures/.test(String(url).split('?')[0])) await new Promise((done) => setTimeout(done, 300));
  return answer;
};
"""
"""What a page loads beside its main part comes last, as it may."""

SIZES = pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])


def check(page: Page, view: str, faults: list[str], most: float = MAX_SHIFT) -> None:
    """Note the shifts of a view if they add up to too much."""
    found: list[dict[str, Any]] = page.evaluate("recorded()")
    total = sum(shift["value"] for shift in found)
    print(f"{view}: {total:.4f}")
    if total > most:
        faults += [f"{view} ({total:.3f}): {shift}" for shift in found]


def enqueue(client: httpx.Client, type_: str, request: object) -> str:
    """Enqueue a request; the job's id."""
    return str(client.post("/api/enqueue", json={"type": type_, "request": request}).json()["job_id"])


def state(client: httpx.Client, job: str) -> str:
    return str(client.get(f"/api/jobs/{job}").json()["state"])


@SIZES
def test_pages_of_a_user(arrive: Arrive, viewport: ViewportSize) -> None:
    faults: list[str] = []
    visitor = arrive(viewport=viewport)
    page = visitor.page
    page.add_init_script(RECORD + LATE)
    page.goto(visitor.base)
    expect(page.get_by_label("User name")).to_be_visible()
    page.wait_for_load_state("networkidle")
    check(page, "log-in", faults, MAX_SHIFT_OF_LOADING)
    visitor.log_in()
    expect(page.get_by_text("Your lane is empty")).to_be_visible()
    check(page, "empty queue", faults, MAX_SHIFT_OF_LOADING)
    with visitor.system.client(visitor.name) as client:
        failed = enqueue(client, "wordcount", 1)
        done = enqueue(client, "echo", {"text": "a text"})
        retrying = enqueue(client, "flaky", {"fail_times": 2})
        wait_for(
            lambda: (
                [state(client, job) for job in (failed, done, retrying)]
                == ["failed", "succeeded", "succeeded"]
            )
        )
        client.put("/api/schedules/often", json={"request": 1, "every_seconds": 3600})
        client.post("/api/keys", json={"name": "a key", "scopes": ["read"]})
        client.post("/api/webhooks", json={"url": "http://127.0.0.1:9/"})
        long = [enqueue(client, "chatter", {"seconds": 600}) for _ in range(4)]
        waiting = [enqueue(client, "sleep", {"seconds": 600, "n": n}) for n in range(12)]
        wait_for(lambda: client.get("/api/queue").json()["running"] == 5)
        live = page.get_by_role("button", name="Live: stop updates")
        views = {
            "queue": ("queue", page.get_by_role("heading", name="Ended last"), "**/api/queue"),
            "history": ("history", page.get_by_text("wordcount").first, None),
            "schedules": ("schedules", page.get_by_role("list", name="Schedules"), "**/api/schedules"),
            "webhooks": ("webhooks", page.get_by_role("list", name="Webhooks"), "**/api/webhooks"),
            "account": ("account", page.get_by_role("heading", name="Delete the account"), None),
            "a job that runs": (
                f"jobs/{long[0]}",
                page.get_by_role("log").get_by_text("step").first,
                f"**/api/jobs/{long[0]}",
            ),
            "a job that waits": (
                f"jobs/{waiting[-1]}",
                page.get_by_role("region", name="Why it waits").get_by_text("Facts"),
                None,
            ),
            "a job that has failed": (f"jobs/{failed}", page.get_by_role("heading", name="Timeline"), None),
            "a job that was retried": (f"jobs/{retrying}", page.get_by_text("Attempt 3 started"), None),
        }
        for view, (path, seen, answer) in views.items():
            visitor.open(f"/ui/{path}")
            expect(seen).to_be_visible()
            expect(live).to_be_visible()
            check(page, f"{view}, loaded", faults, MAX_SHIFT_OF_LOADING)
            enqueue(client, "sleep", {"seconds": 600})
            client.delete(f"/api/jobs/{waiting.pop(0)}")  # the first of those that wait
            if answer:
                with page.expect_response(answer, timeout=30_000):
                    pass
            check(page, view, faults)
        client.post("/api/operations", json={"action": "cancel"})
    assert faults == []


@SIZES
def test_pages_of_an_administrator(arrive: Arrive, viewport: ViewportSize) -> None:
    faults: list[str] = []
    user, visitor = arrive(), arrive(viewport=viewport)
    user.system.register(user.name)
    page = visitor.page
    page.add_init_script(RECORD + LATE)
    visitor.log_in(ADMIN)
    with user.system.client(user.name) as client:
        failed = enqueue(client, "wordcount", 1)
        wait_for(lambda: state(client, failed) == "failed")
        for _ in range(7):
            enqueue(client, "sleep", {"seconds": 300})
        with user.system.client(ADMIN) as admin:
            admin.post(f"/api/admin/lanes/{user.name}/pause")
            admin.post(f"/api/admin/lanes/{user.name}/resume")
        views = {
            "overview": (page.get_by_role("figure").first, "**/api/admin/overview*"),
            "lanes": (page.get_by_role("list", name="Lanes"), "**/api/admin/lanes*"),
            "ring": (page.get_by_role("heading", name="Next turns"), "**/api/admin/ring*"),
            "race": (page.get_by_role("heading", name="Race"), None),
            "failures": (page.get_by_role("heading", name="By error"), None),
            "workers": (page.get_by_role("heading", name="Pools"), "**/api/admin/workers"),
            "audit": (page.get_by_role("list", name="Actions"), None),
            "users": (page.get_by_role("list", name="Users, by name"), None),
        }
        for view, (seen, answer) in views.items():
            visitor.open(f"/ui/{view}")
            expect(seen).to_be_visible()
            expect(page.get_by_role("button", name="Live: stop updates")).to_be_visible()
            check(page, f"{view}, loaded", faults, MAX_SHIFT_OF_LOADING)
            enqueue(client, "sleep", {"seconds": 300})
            if answer:
                with page.expect_response(answer, timeout=30_000):
                    pass
            check(page, view, faults)
        client.post("/api/operations", json={"action": "cancel"})
    assert faults == []
