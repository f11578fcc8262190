"""The ring, as an administrator sees it turn."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.conftest import DESKTOP, PHONE, Arrive
from tests.browser.system import ADMIN, System, wait_for


def shown(page: Page, among: list[str]) -> list[str]:
    """These users, in the order in which the page lists their lanes."""
    links = page.get_by_role("list", name="Lanes, in the order of their turns").get_by_role("link")
    return [user for user in links.all_inner_texts() if user in among]


@pytest.mark.parametrize(("viewport", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["desktop", "phone"])
def test_lanes_start_in_the_order_that_is_shown(
    arrive: Arrive, system: System, viewport: ViewportSize, dark: bool, tmp_path: Path
) -> None:
    busy, ann, bob, cleo = (visitor.name for visitor in (arrive(), arrive(), arrive(), arrive()))
    with ExitStack() as stack:
        clients = {}
        for user in (busy, ann, bob, cleo):
            system.register(user)
            clients[user] = stack.enter_context(system.client(user))
        admin = arrive(viewport=viewport, dark=dark)
        admin.log_in(ADMIN)
        page = admin.open("/ui/ring")
        expect(page.get_by_role("heading", name="Ring", exact=True)).to_be_visible()
        gates = [tmp_path / "first", tmp_path / "second"]  # as many as there are processes
        for gate in gates:
            stack.callback(gate.touch)
            request = {"first": "busy", "second": "free", "gate": str(gate)}
            clients[busy].post("/api/enqueue", json={"type": "talk", "request": request})
        wait_for(lambda: all(job["started_at"] for job in clients[busy].get("/api/jobs").json()["jobs"]))
        for user, jobs in ((ann, 4), (cleo, 1), (bob, 1)):
            requests = [{"type": "occupy", "request": 0.01}] * jobs
            clients[user].post("/api/enqueue/batch", json={"requests": requests})
        wait_for(lambda: shown(page, [ann, bob, cleo]) == [ann, cleo, bob])
        served = page.get_by_role("list", name="Lanes that are served").get_by_role("listitem")
        expect(served.filter(has_text=busy).locator(".number").first).to_have_text("2")
        tops = page.get_by_role("heading", name="Served now").bounding_box()

        page.get_by_role("button", name="stop updates").click()
        gates[0].touch()  # one process only: two start jobs at the same time, and neither is the first
        ended = {user: wait_for_end(clients[user], count) for user, count in ((ann, 4), (bob, 1), (cleo, 1))}
        first_starts = {user: min(job["started_at"] for job in ended[user]) for user in ended}
        assert sorted(first_starts, key=lambda user: first_starts[user]) == [ann, cleo, bob]
        assert shown(page, [ann, bob, cleo]) == [ann, cleo, bob], "the page was stopped"
        gates[1].touch()
        page.get_by_role("button", name="follow again").first.click()
        wait_for(lambda: shown(page, [ann, bob, cleo]) == [])
        assert page.get_by_role("heading", name="Served now").bounding_box() == tops, "nothing has moved"


def wait_for_end(client: httpx.Client, count: int) -> list[dict[str, str]]:
    """The jobs of a user who has enqueued so many, once all have succeeded."""

    def succeeded() -> list[dict[str, str]]:
        return list(client.get("/api/jobs", params={"state": "succeeded"}).json()["jobs"])

    wait_for(lambda: len(succeeded()) == count)
    return succeeded()
