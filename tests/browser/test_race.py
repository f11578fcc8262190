"""The race of Ann and Bob, on `laneway dev`."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest
from playwright.sync_api import Request, ViewportSize, expect

from tests.browser.conftest import DESKTOP, PHONE, Arrive
from tests.browser.system import ADMIN

RACE_MS = 90_000
WATCH_THE_WHEEL = """() => {
  window.turns = [];
  const wheel = document.querySelector(".turning");
  window.wasUnderWay = false;
  const verdict = document.querySelector("main");
  new MutationObserver(() => wasUnderWay ||= verdict.innerText.includes("so far")).observe(verdict, { childList: true, characterData: true, subtree: true });
  new MutationObserver(() => turns.push(/-?[0-9.]+/.exec(wheel.style.transform)[0])).observe(wheel, { attributes: true });
}"""


def milliseconds(text: str) -> float:
    """A duration as the page writes it: `12 ms`, `3.4 s`, `1 m 02 s`."""
    units = {"ms": 1, "s": 1000, "m": 60_000}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+) (ms|s|m)\b", text))


@pytest.mark.parametrize(("viewport", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["desktop", "phone"])
def test_bob_hardly_waits_and_the_page_says_what_was_measured(
    arrive: Arrive, viewport: ViewportSize, dark: bool
) -> None:
    admin = arrive(viewport=viewport, dark=dark)
    admin.log_in(ADMIN)
    page = admin.open("/ui/race")
    expect(page.get_by_role("heading", name="Race")).to_be_visible()
    page.evaluate(WATCH_THE_WHEEL)
    sent: list[Any] = []

    def note(request: Request) -> None:
        if request.url.endswith("/register"):
            sent.append(request.post_data_json)

    page.on("request", note)
    page.get_by_role("button", name="Start the race").click()
    expect(page.get_by_text("Their lanes: ann-")).to_be_visible()
    expect(page.get_by_role("button", name="Race again")).to_be_visible(timeout=RACE_MS)
    assert page.evaluate("wasUnderWay"), "the computed wait is marked while the race lasts"
    told = page.get_by_role("status").filter(has_text="Bob's job was number").inner_text()
    numbers = [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", told)]
    place, total, ahead, rate = numbers[:4]
    assert total == 1001
    assert "computed from these, and was not measured" in told
    measured = milliseconds(page.get_by_role("definition").nth(0).inner_text())
    computed = milliseconds(page.get_by_role("definition").nth(1).inner_text())
    assert computed == pytest.approx(1000 * ahead / rate, rel=0.1)
    assert measured < computed / 2, told
    expect(page.locator(".squares .ann")).to_have_count(1000)
    assert page.locator(".squares .bob").count() == 1

    assert page.locator(f".squares span:nth-child({place}).bob").count() == 1
    turns = [float(angle) for angle in page.evaluate("turns")]
    assert turns == sorted(turns, reverse=True)
    assert len(turns) > 2, "the ring was seen to turn"
    assert turns[-1] == pytest.approx(-320), "almost once in a race"

    bob = page.get_by_role("link", name=re.compile("^bob-")).inner_text()
    with admin.system.client(ADMIN) as client:  # what the page says is what the server has
        (job,) = client.get(f"/api/admin/jobs/{bob}").json()["jobs"]
        before = client.get(
            f"/api/admin/jobs/{bob.replace('bob', 'ann')}", params={"limit": 100, "until": job["enqueued_at"]}
        ).json()["jobs"]
    accepted, started = (datetime.fromisoformat(job[name]) for name in ("enqueued_at", "started_at"))
    assert measured == pytest.approx(1000 * (started - accepted).total_seconds(), rel=0.1, abs=1)
    assert len(before) == 100, "Ann's jobs were accepted before Bob's"

    assert [racer["username"][:4] for racer in sent] == ["ann-", "bob-"]
    kept = page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    assert bob in kept, "the racers of this tab"
    assert not [racer for racer in sent if racer["password"] in kept]
    assert "eyJ" not in page.evaluate("JSON.stringify(localStorage)"), "tokens live as long as the tab"

    page.reload()
    page.get_by_role("button", name="Start the race").click()
    expect(page.get_by_role("link", name=re.compile("^bob-"))).to_have_text(
        bob
    )  # no race leaves two more accounts


def test_users_are_not_offered_the_race(arrive: Arrive) -> None:
    visitor = arrive()
    visitor.log_in()
    page = visitor.open("/ui/race")
    expect(page.get_by_text("There is no such page")).to_be_visible()
