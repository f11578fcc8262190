"""Pools on the page of the workers, as an operator reports them: its own reconcile passes, on a cluster of objects in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import ViewportSize, expect

from tests.browser.alignment import aligned
from tests.browser.conftest import DESKTOP, PHONE, Arrive
from tests.browser.pools import reconcile
from tests.browser.system import ADMIN, System, wait_for


@pytest.mark.parametrize(("viewport", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["desktop", "phone"])
def test_a_pool_shows_its_replicas_the_inputs_of_the_rule_and_its_history(
    arrive: Arrive, redis_url: str, prefix: str, tmp_path: Path, viewport: ViewportSize, dark: bool
) -> None:
    system = System(tmp_path, redis_url=redis_url, key_prefix=prefix)
    system.start()
    try:
        _look_at_a_pool(arrive, system, redis_url, prefix, viewport, dark=dark)
    finally:
        system.stop()


def _look_at_a_pool(
    arrive: Arrive, system: System, redis_url: str, prefix: str, viewport: ViewportSize, *, dark: bool
) -> None:
    system.register("ann")
    with system.client("ann") as client:
        sleeps = [{"type": "sleep", "request": {"seconds": 120}}] * 7
        client.post("/api/enqueue/batch", json={"requests": sleeps})
        wait_for(lambda: client.get("/api/queue").json()["running"] == 5)
        reconcile(redis_url, prefix, None)
        admin = arrive(base=system.url, viewport=viewport, dark=dark)
        admin.log_in(ADMIN)
        page = admin.open("/ui/workers")
        pool = page.get_by_role("region", name="Pool pool")
        expect(pool).to_contain_text("There is no Deployment worker in namespace here.")
        reconcile(redis_url, prefix, 1)
    with system.client(ADMIN) as client:
        (reported,) = client.get("/api/admin/pools").json()["pools"]
    assert reported["replicas"]["wanted"] == 1, "run times are not known yet"
    assert reported["rule"]["load"]["usable"] == 5
    expect(pool).to_contain_text(reported["cause"])
    expect(pool).to_contain_text(reported["reason"][1:])
    for name in ("wanted", "needed", "current", "ready", "pinned"):
        figure = pool.locator("dl.figures > div").filter(has=page.get_by_text(name, exact=True))
        expect(figure.get_by_role("definition")).to_have_text(str(reported["replicas"][name]))
    pool.get_by_text("What the rule decided from").click()
    facts = pool.locator("details").first
    expect(facts).to_contain_text(f"{reported['rule']['min_replicas']} to {reported['rule']['max_replicas']}")
    could = facts.locator("div").filter(has=page.get_by_text("Jobs that could be in flight", exact=True))
    expect(could.get_by_role("definition")).to_have_text("5")
    expect(facts.locator("div").filter(has_text="Run for long")).to_be_visible()
    pool.get_by_text("History: 2 changes").click()
    changes = pool.get_by_role("list", name="Changes of pool, newest first").get_by_role("listitem")
    expect(changes).to_have_count(2)
    expect(changes.nth(0)).to_contain_text("1 replica")
    assert aligned(page)
    expect(changes.nth(1)).to_contain_text("There is no Deployment worker")
    admin.page.close()  # before the system stops: the page would log that
