"""Two users and an administrator at once, each in a browser of their own."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.conftest import DESKTOP, PHONE, Arrive, Visitor
from tests.browser.system import ADMIN
from tests.browser.test_operator import narrow_down

SLOTS = 5


def _jobs(page: Page) -> list[str]:
    """The payloads of all jobs on the page of a queue, as it writes them."""
    return re.findall(r'"of":"([\w-]+)"', page.get_by_role("main").inner_text())


def _enqueue(visitor: Visitor, jobs: int) -> None:
    page = visitor.page
    page.get_by_role("button", name="New request").click()
    dialog = page.get_by_role("dialog", name="New request")
    dialog.get_by_label("Type").fill("sleep")
    dialog.get_by_label("Payload").fill(f'{{"of":"{visitor.name}","seconds":120}}')
    dialog.get_by_role("button", name="Enqueue").click()
    expect(dialog).to_be_hidden()
    with visitor.system.client(visitor.name) as client:
        more = [{"type": "sleep", "request": {"of": visitor.name, "seconds": 120}}] * (jobs - 1)
        client.post("/api/enqueue/batch", json={"requests": more})


@pytest.mark.parametrize(("viewport", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["desktop", "phone"])
def test_each_sees_their_own_and_what_is_done_to_one_lane_leaves_the_other_alone(
    arrive: Arrive, viewport: ViewportSize, dark: bool
) -> None:
    ann, bob, admin = (arrive(viewport=viewport, dark=dark) for _ in range(3))
    ann.name = f"{bob.name}-a"
    ann.system.register(ann.name)
    hers, his = ann.log_in(ann.name), bob.log_in()
    admin.log_in(ADMIN)
    _enqueue(ann, 9)
    _enqueue(bob, 7)
    for page, waiting in ((hers, 4), (his, 2)):
        expect(page.get_by_role("region", name="Slots").get_by_role("button", name="Cancel")).to_have_count(
            SLOTS
        )
        expect(page.get_by_role("list", name="Waiting jobs").get_by_role("listitem")).to_have_count(waiting)
    assert set(_jobs(hers)) == {ann.name}
    assert set(_jobs(his)) == {bob.name}

    page = admin.open("/ui/ring")
    served = page.get_by_role("list", name="Lanes that are served").get_by_role("listitem")
    for visitor in (ann, bob):
        expect(served.filter(has=page.get_by_text(visitor.name, exact=True))).to_contain_text("5")
    page = admin.open("/ui/lanes")
    narrow_down(page, "Users that begin with", bob.name)  # of both: one name begins with the other
    rows = page.get_by_role("list", name="Lanes").get_by_role("listitem")
    expect(rows.locator(".user")).to_have_text([bob.name, ann.name])
    his_row, her_row = rows.nth(0), rows.nth(1)

    page.get_by_role("button", name=f"Pause the lane of {ann.name}").click()
    expect(her_row).to_contain_text("paused")
    expect(hers.get_by_text("Paused by an administrator")).to_be_visible(timeout=30_000)
    expect(his_row).to_contain_text("5 / 5")
    his.get_by_role("list", name="Waiting jobs").get_by_role("button", name="Cancel sleep").last.click()
    his.get_by_role("button", name="Cancel the job").click()  # he goes on while her lane is paused
    expect(his.get_by_role("list", name="Waiting jobs").get_by_role("listitem")).to_have_count(1)
    expect(his.get_by_text("Paused by an administrator")).to_have_count(0)

    page.get_by_role("button", name=f"Resume the lane of {ann.name}").click()
    expect(her_row).to_contain_text("5 / 5")
    expect(hers.get_by_text("Paused by an administrator")).to_be_hidden(timeout=30_000)

    page.get_by_role("button", name=f"Purge the lane of {ann.name}").click()
    dialog = page.get_by_role("dialog", name=f"Purge the lane of {ann.name}?")
    expect(dialog).to_contain_text(f"4 jobs of {ann.name}")
    dialog.get_by_role("button", name="Cancel 4 jobs").click()
    expect(hers.get_by_text("Nothing waits.")).to_be_visible()
    expect(hers.get_by_role("region", name="Ended last")).to_contain_text("purged by an administrator")
    expect(his.get_by_role("list", name="Waiting jobs").get_by_role("listitem")).to_have_count(1)
    expect(his_row).to_contain_text("6")
    with bob.system.client(bob.name) as client:
        assert [job["state"] for job in client.get("/api/jobs").json()["jobs"]].count("cancelled") == 1
    assert set(_jobs(hers)) == {ann.name}
    assert set(_jobs(his)) == {bob.name}
    for visitor in (ann, bob):
        with visitor.system.client(visitor.name) as client:
            client.post("/api/operations", json={"action": "cancel"})
