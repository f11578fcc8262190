"""A connection that breaks, a session that ends, updates that are stopped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from secrets import token_hex

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Arrive, Visitor
from tests.browser.system import ADMIN, PASSWORD, Proxy, System, below, wait_for

RETRY_MS = 30_000
"""Until a stream that was lost is opened again, on a busy machine: its tries are up to 19 s apart."""


@pytest.fixture
def cuttable(system: System, arrive: Arrive) -> Iterator[tuple[Visitor, Proxy]]:
    """A visitor, and the proxy that can cut them off. The test must do so: what the browser says of it is forgiven."""
    with below(system.url, "") as proxy:
        visitor = arrive(base=proxy.url)
        yield visitor, proxy
        visitor.page.close()  # before the proxy ends
        visitor.watch.forgive("ERR_")


def test_a_lost_connection_is_told_with_the_time_of_what_is_seen(
    system: System, cuttable: tuple[Visitor, Proxy]
) -> None:
    visitor, proxy = cuttable
    page = visitor.log_in()
    expect(page.get_by_text("Your lane is empty")).to_be_visible()
    expect(page.get_by_role("button", name="Live: stop updates")).to_be_visible()
    proxy.cut()
    expect(page.get_by_role("alert")).to_contain_text("Connection lost. What you see is from ")
    with system.client(visitor.name) as client:  # happens meanwhile, and is seen later
        client.post("/api/enqueue", json={"type": "sleep", "request": {"seconds": 60}})
    expect(page.get_by_text("Your lane is empty")).to_be_visible()
    own_try_is_far = re.compile(r"Try now \(([6-9]|1\d) s\)")
    expect(page.get_by_role("button", name=own_try_is_far)).to_be_visible(timeout=RETRY_MS)
    proxy.mend()
    page.get_by_role("button", name="Try now").click()
    expect(page.get_by_role("button", name="Live: stop updates")).to_be_visible()
    expect(page.get_by_role("region", name="Slots").get_by_role("link", name="sleep")).to_be_visible()
    expect(page.get_by_text("Connection lost.")).to_be_hidden()


def _through_the_menu(page: Page, view: str) -> None:
    page.get_by_role("navigation", name="Views").get_by_role("link", name=view).click()


def test_a_page_whose_first_load_was_cut_off_loads_by_itself(
    system: System, cuttable: tuple[Visitor, Proxy]
) -> None:
    """For a list that comes in pages, and one that comes whole; the program of both has been loaded before."""
    visitor, proxy = cuttable
    page = visitor.log_in(ADMIN)
    rows = {
        "History": page.get_by_role("list", name="Jobs, newest first").get_by_role("listitem"),
        "Users": page.get_by_role("list", name="Users, by name").get_by_role("listitem"),
        "Workers": page.get_by_role("region", name="Worker "),
    }
    with system.client(ADMIN) as client:
        client.post("/api/enqueue", json={"type": "echo", "request": 1})
    for view, row in rows.items():
        _through_the_menu(page, view)
        expect(row.first).to_be_visible()
    for view, row in rows.items():
        _through_the_menu(page, "My queue")
        expect(page.get_by_role("button", name="Live: stop updates")).to_be_visible()
        expect(page.get_by_role("heading", name="Ended last")).to_be_visible()
        proxy.cut()
        _through_the_menu(page, view)
        expect(page.get_by_role("heading", name=view, exact=True)).to_be_visible()
        expect(page.get_by_text("The server does not answer.").first).to_be_visible()
        expect(row).to_have_count(0)
        proxy.mend()
        expect(row.first).to_be_visible()
        expect(page.get_by_text("The server does not answer.")).to_have_count(0)


def test_a_page_whose_program_was_cut_off_is_shown_once_the_server_answers(
    cuttable: tuple[Visitor, Proxy],
) -> None:
    visitor, proxy = cuttable
    page = visitor.log_in()
    expect(page.get_by_role("button", name="Live: stop updates")).to_be_visible()
    proxy.cut()
    _through_the_menu(page, "History")
    expect(page.get_by_text("This page could not be loaded.")).to_be_visible()
    proxy.mend()
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    expect(page.get_by_text("You have not enqueued anything yet.")).to_be_visible()


def test_the_history_shows_what_has_changed_while_the_connection_was_lost(
    system: System, cuttable: tuple[Visitor, Proxy]
) -> None:
    """Rows keep their places: what has come meanwhile is shown when the reader asks for it."""
    visitor, proxy = cuttable
    visitor.log_in()
    with system.client(visitor.name) as client:
        batch = [{"type": "sleep", "request": {"seconds": 300, "n": n}} for n in range(7)]
        jobs = client.post("/api/enqueue/batch", json={"requests": batch}).json()["job_ids"]
        wait_for(lambda: client.get("/api/queue").json()["running"] == 5)
        page = visitor.open("/ui/history")
        rows = page.get_by_role("list", name="Jobs, newest first").get_by_role("listitem")
        expect(rows).to_have_count(7)
        expect(page.get_by_role("button", name="Live: stop updates")).to_be_visible()
        proxy.cut()
        expect(page.get_by_role("alert")).to_contain_text("Connection lost.")
        client.delete(f"/api/jobs/{jobs[6]}")
        client.delete(f"/api/jobs/{jobs[0]}")
        newest = client.post("/api/enqueue", json={"type": "echo", "request": "newest"}).json()["job_id"]
        wait_for(lambda: client.get(f"/api/jobs/{jobs[0]}").json()["state"] == "cancelled")
        wait_for(lambda: client.get(f"/api/jobs/{jobs[5]}").json()["state"] == "running")
        expect(rows.nth(0)).to_contain_text("queued")
        proxy.mend()
        states = ["cancelled", "running", "running", "running", "running", "running", "cancelled"]
        for row, state in enumerate(states):
            expect(rows.nth(row)).to_contain_text(state, timeout=RETRY_MS)
        expect(rows).to_have_count(7)
        expect(page.get_by_text("Connection lost.")).to_be_hidden()
        page.get_by_role("button", name="Show 1 newer job").click()
        expect(rows.first.get_by_role("link")).to_have_attribute("href", re.compile(newest))
        client.post("/api/operations", json={"action": "cancel"})


def test_a_list_of_operators_offers_what_has_changed_while_the_connection_was_lost(
    system: System, cuttable: tuple[Visitor, Proxy]
) -> None:
    visitor, proxy = cuttable
    visitor.log_in(ADMIN)
    prefix = f"u{token_hex(4)}"
    known, new = f"{prefix}-b", f"{prefix}-a"
    system.register(known)
    page = visitor.open(f"/ui/users?name={prefix}")
    rows = page.get_by_role("list", name="Users, by name").get_by_role("listitem")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("never")
    expect(page.get_by_role("button", name="Live: stop updates")).to_be_visible()
    proxy.cut()
    expect(page.get_by_role("alert")).to_contain_text("Connection lost.")
    system.register(new)
    system.client(known).close()
    proxy.mend()
    expect(rows.first).not_to_contain_text("never", timeout=RETRY_MS)
    expect(rows).to_have_count(1)
    page.get_by_role("button", name="Show it as it is now").click()
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text(new)
    expect(page.get_by_text("The list has changed")).to_have_count(0)


def test_updates_can_be_stopped_and_followed_again(arrive: Arrive) -> None:
    """A load that is under way when the reader stops the updates shows nothing either."""
    visitor = arrive()
    page = visitor.log_in()
    expect(page.get_by_role("button", name="Live: stop updates")).to_be_visible()
    page.route("**/api/queue", lambda _: None)  # an answer that takes long
    with visitor.system.client(visitor.name) as client:
        with page.expect_request("**/api/queue"):  # the page loads what the event announces
            client.post("/api/enqueue", json={"type": "sleep", "request": {"seconds": 60}})
        page.get_by_role("button", name="Live: stop updates").click()
        expect(page.get_by_text("Updates are stopped.")).to_be_visible()
        wait_for(lambda: client.get("/api/queue").json()["running"] == 1)
        with page.expect_response("**/api/queue") as answer:
            page.unroute("**/api/queue")
        assert answer.value.json()["running"] == 1
        client.post("/api/enqueue", json={"type": "sleep", "request": {"seconds": 60}})
        wait_for(lambda: client.get("/api/queue").json()["running"] == 2)
    expect(page.get_by_text("Your lane is empty")).to_be_visible()
    page.get_by_role("button", name="Follow again", exact=True).click()
    expect(page.get_by_role("region", name="Slots").get_by_role("link", name="sleep")).to_have_count(2)


def test_what_the_reader_does_is_shown_though_updates_are_stopped(arrive: Arrive) -> None:
    page = arrive().log_in()
    page.get_by_role("button", name="Live: stop updates").click()
    page.get_by_role("button", name="Enqueue a first request").click()
    expect(page.get_by_text("Your lane is empty")).to_be_hidden()
    expect(page.get_by_text("Updates are stopped.")).to_be_visible()


def test_who_is_logged_out_elsewhere_logs_in_and_goes_on_where_they_were(arrive: Arrive) -> None:
    visitor = arrive()
    visitor.log_in()
    page = visitor.open("/ui/history")
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    token = page.evaluate("sessionStorage.getItem('laneway.token')")
    with visitor.system.client(visitor.name) as client:
        client.post("/api/logout", headers={"authorization": f"Bearer {token}"})
    dialog = page.get_by_role("dialog", name="Your session has ended")
    expect(dialog).to_be_visible(timeout=20_000)
    expect(dialog.get_by_label("User name")).to_have_value(visitor.name)
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Log in").click()
    expect(dialog).to_be_hidden()
    expect(page).to_have_url(f"{visitor.base}/ui/history")
    visitor.watch.forgive("401")
