"""A connection that breaks, a session that ends, updates that are stopped."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Arrive
from tests.browser.system import PASSWORD, System, below, wait_for


def test_a_lost_connection_is_told_with_the_time_of_what_is_seen(system: System, arrive: Arrive) -> None:
    with below(system.url, "") as proxy:
        visitor = arrive(base=proxy.url)
        page = visitor.log_in()
        expect(page.get_by_text("Your lane is empty")).to_be_visible()
        expect(page.get_by_role("button", name="Live: stop updates")).to_be_visible()
        proxy.cut()
        expect(page.get_by_role("alert")).to_contain_text("Connection lost. What you see is from ")
        with system.client(visitor.name) as client:  # happens meanwhile, and is seen later
            client.post("/api/enqueue", json={"type": "sleep", "request": {"seconds": 60}})
        expect(page.get_by_text("Your lane is empty")).to_be_visible()
        proxy.mend()
        page.get_by_role("button", name="Try now").click()
        expect(page.get_by_role("button", name="Live: stop updates")).to_be_visible()
        expect(page.get_by_role("region", name="Slots").get_by_role("link", name="sleep")).to_be_visible()
        expect(page.get_by_text("Connection lost.")).to_be_hidden()
        visitor.watch.forgive("ERR_")


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
