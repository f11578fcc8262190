"""Schedules: made, changed, run, paused and deleted on their page."""

from __future__ import annotations

import pytest
from playwright.sync_api import ViewportSize, expect

from tests.browser.conftest import DESKTOP, PHONE, Arrive
from tests.browser.system import yearly_cron

BIG = 9007199254740993
ATTACK = "<img src=x onerror=\"document.title='attacked'\">"


@pytest.mark.parametrize(("viewport", "dark"), [(DESKTOP, True), (PHONE, False)], ids=["desktop", "phone"])
def test_a_schedule_is_made_changed_run_paused_and_deleted(
    arrive: Arrive, viewport: ViewportSize, dark: bool
) -> None:
    visitor = arrive(viewport=viewport, dark=dark)
    visitor.log_in()
    page = visitor.open("/ui/schedules")
    page.get_by_role("button", name="Make a schedule").click()
    dialog = page.get_by_role("dialog", name="New schedule")
    dialog.get_by_label("Name").fill("nightly")
    dialog.get_by_role("textbox", name="Cron").fill("not cron")
    dialog.get_by_label("Time zone").fill("Europe/Berlin")
    dialog.get_by_label("Payload").fill(f'{{"id": {BIG}}}')
    dialog.get_by_role("button", name="Make the schedule").click()
    expect(dialog.get_by_role("alert")).not_to_be_empty()
    dialog.get_by_role("textbox", name="Cron").fill(yearly_cron())
    dialog.get_by_role("button", name="Make the schedule").click()
    expect(dialog).to_be_hidden()
    row = page.get_by_role("list", name="Schedules").get_by_role("listitem")
    expect(row).to_contain_text(f"{yearly_cron()}, Europe/Berlin")
    expect(row).to_contain_text(str(BIG))
    expect(row).to_contain_text("has not fired yet")

    page.get_by_role("button", name="Edit nightly").click()
    dialog = page.get_by_role("dialog", name="Schedule nightly")
    dialog.get_by_text("Next five times").click()
    expect(dialog.get_by_role("listitem")).to_have_count(5)
    dialog.get_by_label("At an interval").check()
    dialog.get_by_label("Seconds between two jobs").fill("7200")
    dialog.get_by_role("button", name="Change", exact=True).click()
    expect(row).to_contain_text("every 2 hours")

    page.get_by_role("button", name="Pause nightly").click()
    expect(row).to_contain_text("paused")
    page.get_by_role("button", name="Run now: nightly").click()
    page.get_by_role("link", name="Open").click()
    expect(page.get_by_role("region", name="Payload")).to_contain_text(str(BIG))
    expect(page.get_by_text("Enqueued by the schedule nightly")).to_be_visible()
    page.go_back()
    page.get_by_role("button", name="Delete nightly").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No schedules")).to_be_visible()
    visitor.watch.forgive("400")


def test_the_payload_of_a_schedule_is_only_text(arrive: Arrive) -> None:
    visitor = arrive()
    visitor.log_in()
    with visitor.system.client(visitor.name) as client:
        body = {"request": {ATTACK: ATTACK}, "every_seconds": 3600}
        assert client.put("/api/schedules/attack", json=body).status_code == 201
    page = visitor.open("/ui/schedules")
    expect(page.get_by_role("list", name="Schedules")).to_contain_text("<img src=x")
    page.get_by_role("button", name="Edit attack").click()
    expect(page.get_by_role("dialog").get_by_label("Payload")).to_be_visible()
    assert page.locator("main img, dialog img").count() == 0
    assert "attacked" not in page.title()
