"""What a user does, from the first visit on."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, ViewportSize, expect

from tests.browser.conftest import DESKTOP, PHONE, Arrive
from tests.browser.system import PASSWORD, wait_for, yearly_cron

BIG = 9007199254740993
"""2**53 + 1: a JavaScript number would make it ...992."""
SIZES = pytest.mark.parametrize(
    ("viewport", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["desktop", "phone"]
)


def _enqueue(page: Page, type_: str, payload: str) -> None:
    page.get_by_role("button", name="New request").click()
    dialog = page.get_by_role("dialog", name="New request")
    dialog.get_by_label("Type").fill(type_)
    dialog.get_by_label("Payload").fill(payload)
    dialog.get_by_role("button", name="Enqueue").click()
    expect(dialog).to_be_hidden()


@SIZES
def test_a_first_visit_ends_with_a_request_that_has_passed(
    arrive: Arrive, viewport: ViewportSize, dark: bool
) -> None:
    visitor = arrive(viewport=viewport, dark=dark)
    page = visitor.open()
    page.get_by_role("button", name="Make an account").click()
    page.get_by_label("User name").fill(visitor.name)
    page.get_by_label("Password").fill("short")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_text("Your lane is empty")).to_be_visible()
    for name, part in (
        ("curl", "/api/enqueue"),
        ("Python", "client.enqueue("),
        ("Command line", "laneway enqueue 'sleep'"),
    ):
        page.get_by_role("button", name=name, exact=True).click()
        expect(page.get_by_role("region", name=f"{name} example")).to_contain_text(part)
    page.get_by_role("button", name="Enqueue a first request").click()
    slots = page.get_by_role("region", name="Slots")
    expect(slots.get_by_role("link", name="sleep")).to_be_visible()
    expect(slots.get_by_text(re.compile(r"^[1-9]0 %$"))).to_be_visible()
    ended = page.get_by_role("region", name="Ended last")
    expect(ended.get_by_text("succeeded")).to_be_attached()
    page.reload()  # the session lives as long as the tab
    expect(page.get_by_role("heading", name="My queue")).to_be_visible()


def test_a_wrong_password_and_a_taken_name_are_told(arrive: Arrive) -> None:
    visitor = arrive()
    visitor.log_in()
    other = arrive()
    page = other.open()
    page.get_by_label("User name").fill(visitor.name)
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert").first).to_contain_text("Wrong")
    page.get_by_role("button", name="Make an account").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("alert").first).to_contain_text("taken")
    other.watch.forgive("400")


def test_numbers_and_the_order_of_keys_come_out_as_they_went_in(arrive: Arrive) -> None:
    visitor = arrive()
    page = visitor.log_in()
    _enqueue(page, "echo", f'{{"id": {BIG}, "10": 1.5, "9": null}}')
    page.get_by_role("link", name="Open").click()
    expected = f'{{"id": {BIG}, "10": 1.5, "9": null}}'
    expect(page.get_by_role("region", name="Payload")).to_have_text(expected)
    page.get_by_role("button", name="Edit and run again").click()
    expect(page.get_by_role("dialog").get_by_label("Payload")).to_have_value(expected)
    page.get_by_role("button", name="Enqueue").click()
    with visitor.system.client(visitor.name) as client:
        wait_for(lambda: len(client.get("/api/jobs").json()["jobs"]) == 2)
        newest = client.get("/api/jobs").text
    assert newest.count(str(BIG)) >= 2
    assert newest.count('"10":1.5,"9":null') >= 2


def test_a_faulty_payload_cannot_be_sent_and_the_place_is_named(arrive: Arrive) -> None:
    page = arrive().log_in()
    page.get_by_role("button", name="New request").click()
    dialog = page.get_by_role("dialog", name="New request")
    dialog.get_by_label("Payload").fill('{"a": 1,\n "b" 2}')
    expect(dialog.get_by_text("Line 2, column 6: a colon is missing before this.")).to_be_visible()
    expect(dialog.get_by_role("button", name="Enqueue")).to_be_disabled()


def test_what_the_api_refuses_is_told_where_it_was_written(arrive: Arrive) -> None:
    visitor = arrive()
    page = visitor.log_in()
    page.get_by_role("button", name="New request").click()
    dialog = page.get_by_role("dialog", name="New request")
    dialog.get_by_label("Type").fill("no-such-type")
    dialog.get_by_role("button", name="Enqueue").click()
    expect(dialog.get_by_role("alert")).to_contain_text("echo")  # one of those that there are
    dialog.get_by_label("Type").fill("echo")
    dialog.get_by_role("button", name="Enqueue").click()
    expect(dialog).to_be_hidden()
    visitor.watch.forgive("400")


@SIZES
def test_a_lane_shows_what_runs_and_what_waits_in_order_and_both_can_be_cancelled(
    arrive: Arrive, viewport: ViewportSize, dark: bool
) -> None:
    visitor = arrive(viewport=viewport, dark=dark)
    page = visitor.log_in()
    with visitor.system.client(visitor.name) as client:
        for number in range(8):
            client.post("/api/enqueue", json={"type": "sleep", "request": {"seconds": 60, "n": number}})
    slots = page.get_by_role("region", name="Slots")
    waiting = page.get_by_role("list", name="Waiting jobs")
    expect(slots.get_by_role("button", name="Cancel")).to_have_count(5)
    expect(waiting.get_by_role("link")).to_have_text([re.compile(f'"n":{n}}}') for n in (5, 6, 7)])
    waiting.get_by_role("button", name="Cancel sleep").nth(1).click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(waiting.get_by_role("link")).to_have_text([re.compile(f'"n":{n}}}') for n in (5, 7)])
    slots.get_by_role("button", name="Cancel").first.click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(waiting.get_by_role("link")).to_have_text([re.compile('"n":7}')])  # the next one has moved up
    ended = page.get_by_role("region", name="Ended last")
    expect(ended.get_by_role("link", name=re.compile("sleep"))).to_have_count(2)


def test_a_job_says_why_it_waits_and_follows_what_happens(arrive: Arrive) -> None:
    visitor = arrive()
    page = visitor.log_in()
    with visitor.system.client(visitor.name) as client:
        jobs = [
            client.post("/api/enqueue", json={"type": "sleep", "request": {"seconds": 60}}).json()["job_id"]
            for _ in range(7)
        ]
        wait_for(lambda: client.get("/api/queue").json()["running"] == 5)
        why = page.get_by_role("region", name="Why it waits")
        expect(why).to_contain_text("All 5 slots of the lane are taken, and it is the next to start.")
        page = visitor.open(f"/ui/jobs/{jobs[6]}")
        expect(why).to_contain_text("All 5 slots of the lane are taken, and 1 job starts before it.")
        why.get_by_text("Facts").click()
        expect(why).to_contain_text("5 of 5")
        taken = why.get_by_role("list", name="Jobs in the slots").get_by_role("link")
        expect(taken).to_have_text(jobs[:5])
        client.delete(f"/api/jobs/{jobs[5]}")
        expect(why).to_contain_text("it is the next to start")
        taken.first.click()
        expect(page.get_by_role("main").get_by_text("running", exact=True)).to_be_visible()
        expect(why).to_be_hidden()


@SIZES
def test_a_type_with_a_schema_is_enqueued_by_a_form(
    arrive: Arrive, viewport: ViewportSize, dark: bool
) -> None:
    visitor = arrive(viewport=viewport, dark=dark)
    page = visitor.log_in()
    page.get_by_role("button", name="New request").click()
    dialog = page.get_by_role("dialog", name="New request")
    dialog.get_by_label("Type").fill("resize")
    expect(dialog.get_by_text("Scale a picture to a width.")).to_be_visible()
    dialog.get_by_label("Picture").fill("cats/1.png")
    dialog.get_by_label("Width").fill("9999")
    dialog.get_by_label("Picture").focus()
    expect(dialog.get_by_text("4096")).to_be_visible()  # checked before it is sent
    dialog.get_by_label("Width").fill("320")
    dialog.get_by_label("Fit").select_option("contain")
    dialog.get_by_label("Sharpen").check()
    dialog.get_by_role("button", name="JSON", exact=True).click()
    written = json.loads(dialog.get_by_label("Payload").input_value())
    assert written == {"picture": "cats/1.png", "width": 320, "fit": "contain", "sharpen": True, "tags": []}
    dialog.get_by_label("Payload").fill(f'{{"picture": "cats/1.png", "width": {BIG}}}')
    expect(dialog.get_by_role("button", name="Form", exact=True)).to_be_disabled()  # it would change it
    dialog.get_by_role("button", name="Enqueue").click()
    expect(dialog.get_by_role("alert")).to_contain_text("request/width")
    dialog.get_by_label("Payload").fill('{"picture": "cats/1.png", "width": 64}')
    dialog.get_by_role("button", name="Form", exact=True).click()
    expect(dialog.get_by_label("Width")).to_have_value("64")
    dialog.get_by_role("button", name="Enqueue").click()
    page.get_by_role("link", name="Open").click()
    expect(page.get_by_role("region", name="Result")).to_contain_text('"width": 64')
    page.get_by_role("button", name="Edit and run again").click()
    expect(dialog.get_by_label("Picture")).to_have_value("cats/1.png")
    visitor.watch.forgive("400")


def test_a_list_of_types_that_comes_late_leaves_the_form_as_it_is(arrive: Arrive) -> None:
    page = arrive().log_in()
    dialog = page.get_by_role("dialog", name="New request")
    picture = dialog.get_by_label("Picture")
    page.keyboard.press("n")
    dialog.get_by_label("Type").fill("resize")
    expect(picture).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()

    held: list[Route] = []

    def hold(route: Route) -> None:  # Playwright marks its handlers, so it must be a function of its own
        held.append(route)

    page.route("**/api/types", hold)
    with page.expect_request("**/api/types"):
        page.keyboard.press("n")
    dialog.get_by_label("Type").fill("resize")
    picture.press_sequentially("cats")
    types = held[0].fetch().json()
    types["types"].append({**types["types"][0], "name": "a-new-type"})
    held[0].fulfill(json=types)
    expect(dialog.locator("option[value=a-new-type]")).to_be_attached()
    expect(picture).to_be_focused()
    page.keyboard.type("/1.png")
    expect(picture).to_have_value("cats/1.png")


def test_a_failed_job_shows_its_error_and_can_be_run_again(arrive: Arrive) -> None:
    visitor = arrive()
    page = visitor.log_in()
    _enqueue(page, "flaky", '{"fail_times": 99}')
    page.get_by_role("link", name="Open").click()
    expect(page.get_by_role("region", name="Error")).to_contain_text("RuntimeError")
    expect(page.get_by_text("All 3 attempts were used.")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("region", name="Log")).to_contain_text("Traceback (most recent call last)")
    first = page.url
    page.get_by_role("button", name="Run again", exact=True).click()
    expect(page).not_to_have_url(first)
    page.go_back()
    expect(page).to_have_url(first)
    expect(page.get_by_text("All 3 attempts were used.")).to_be_visible()


def test_the_history_is_filtered_in_the_address_and_renders_only_what_is_seen(arrive: Arrive) -> None:
    visitor = arrive()
    page = visitor.log_in()
    with visitor.system.client(visitor.name) as client:
        batch = [{"type": "echo", "request": {"n": number}} for number in range(300)]
        client.post("/api/enqueue/batch", json={"requests": batch})
        client.post("/api/enqueue", json={"type": "sleep", "request": {"seconds": 0.1, "last": True}})
        wait_for(lambda: client.get("/api/queue").json()["queued"] == 0, 60)
        page = visitor.open("/ui/history")
        jobs = page.get_by_role("list", name="Jobs, newest first")
        expect(jobs.get_by_role("listitem").first).to_contain_text("sleep")
        seen = ""
        for _ in range(80):
            page.mouse.wheel(0, 600)
            page.wait_for_timeout(50)
            assert jobs.get_by_role("listitem").count() < 60
            if '{"n":0}' in (seen := jobs.inner_text()):
                break
        assert '{"n":0}' in seen
        page.get_by_role("button", name="failed", exact=True).click()
        expect(page).to_have_url(re.compile(r"\?state=failed$"))
        expect(page.get_by_text("No job is failed.")).to_be_visible()
        page.get_by_role("button", name="all", exact=True).click()
        expect(jobs.get_by_role("listitem").first).to_contain_text("sleep")
        client.post("/api/enqueue", json={"type": "echo", "request": "newest"})
    page.get_by_role("button", name="Show 1 newer job").click()
    expect(jobs.get_by_role("listitem").first).to_contain_text("newest")


def test_a_long_lane_shows_what_starts_next_and_renders_only_what_is_seen(arrive: Arrive) -> None:
    visitor = arrive()
    page = visitor.log_in()
    with visitor.system.client(visitor.name) as client:
        for first in (0, 700):
            batch = [{"type": "sleep", "request": {"seconds": 60, "n": first + n}} for n in range(700)]
            client.post("/api/enqueue/batch", json={"requests": batch})
        wait_for(lambda: client.get("/api/queue").json()["running"] == 5)
        rows = page.get_by_role("list", name="Waiting jobs").get_by_role("listitem")
        expect(page.get_by_text("The next 300 of 1,395.")).to_be_visible()
        expect(rows.first).to_contain_text('"n":5}')
        expect(rows.first).to_have_attribute("aria-setsize", "300")
        expect(page.get_by_role("region", name="Why it waits")).to_contain_text("it is the next to start")
        most = 0
        for _ in range(60):
            page.mouse.wheel(0, 600)
            most = max(most, rows.count())
            if page.get_by_text('"n":304}').is_visible():
                break
        expect(rows.get_by_text('"n":304}')).to_be_visible()
        assert most < 60
        client.post("/api/operations", json={"action": "cancel"})


def test_markup_in_any_text_of_a_user_is_only_text(arrive: Arrive) -> None:
    attack = "<img src=x onerror=\"document.title='attacked'\"><script>document.title='attacked'</script>"
    visitor = arrive()
    page = visitor.log_in()
    with visitor.system.client(visitor.name) as client:
        echoed = client.post("/api/enqueue", json={"type": "echo", "request": {attack: attack}}).json()
        failed = client.post("/api/enqueue", json={"type": "thumbnail", "request": {"image": attack}}).json()
        wait_for(lambda: client.get(f"/api/jobs/{failed['job_id']}").json()["state"] == "failed")
    for path in (
        "/",
        "/ui/history",
        f"/ui/jobs/{echoed['job_id']}",
        f"/ui/jobs/{failed['job_id']}",
        f"/ui/{attack}",
    ):
        page = visitor.open(path)
        expect(page.get_by_role("main")).to_be_visible()
        page.wait_for_timeout(500)
        assert "attacked" not in page.title()
        assert page.locator("main img, main script").count() == 0
    page = visitor.open(f"/ui/jobs/{echoed['job_id']}")
    expect(page.get_by_role("region", name="Result")).to_contain_text("<img src=x onerror=")
    page.get_by_role("button", name="Edit and run again").click()
    page.get_by_text("From a program").click()
    expect(page.get_by_role("region", name="curl example")).to_contain_text("<img src=x onerror=")
    assert json.loads(page.get_by_role("dialog").get_by_label("Payload").input_value()) == {attack: attack}


def test_what_a_handler_prints_is_on_the_page_of_its_job_before_it_ends(
    arrive: Arrive, tmp_path: Path
) -> None:
    attack = "<img src=x onerror=\"document.title='attacked'\">"
    visitor = arrive()
    visitor.log_in()
    gate = tmp_path / "gate"
    request = {"first": f"first {attack}", "second": f"second {attack}", "gate": str(gate)}
    with visitor.system.client(visitor.name) as client:
        job_id = client.post("/api/enqueue", json={"type": "talk", "request": request}).json()["job_id"]
        page = visitor.open(f"/ui/jobs/{job_id}")
        lines = page.get_by_role("log", name="Lines")
        expect(lines).to_contain_text(f"first {attack}")
        expect(lines).to_contain_text("an error")
        expect(lines).not_to_contain_text("second")
        assert client.get(f"/api/jobs/{job_id}").json()["state"] == "running"
        gate.touch()
        expect(lines).to_contain_text(f"second {attack}")
        page = visitor.open(f"/ui/jobs/{job_id}")
        expect(page.get_by_role("log", name="Lines")).to_contain_text(f"second {attack}")
        assert "attacked" not in page.title()
        assert page.locator("main img").count() == 0
        echoed = client.post("/api/enqueue", json={"type": "echo", "request": 1}).json()["job_id"]
    page = visitor.open(f"/ui/jobs/{echoed}")
    expect(page.get_by_role("region", name="Result")).to_be_visible()
    assert page.get_by_role("log").count() == 0


def _tab_to(page: Page, property_: str, value: str) -> None:
    """Press Tab until the element with the focus has this value of a property, 30 times at most."""
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate(property_) == value:
            break


def test_the_keyboard_alone_suffices(arrive: Arrive) -> None:
    visitor = arrive()
    page = visitor.log_in()
    keys = page.keyboard
    keys.press("n")
    expect(page.get_by_role("dialog", name="New request")).to_be_visible()
    expect(page.get_by_label("Type")).to_be_focused()
    keys.press("Control+A")
    keys.type("sleep")
    for _ in range(3):
        if page.get_by_label("Payload").evaluate("element => element === document.activeElement"):
            break
        keys.press("Tab")
    keys.press("Control+A")
    keys.type('{"seconds": 60}')
    keys.press("Control+Enter")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("region", name="Slots").get_by_role("link", name="sleep")).to_be_visible()

    with visitor.system.client(visitor.name) as client:
        (job,) = client.get("/api/jobs").json()["jobs"]
    keys.press("Control+k")
    keys.type(job["job_id"])
    keys.press("Enter")
    expect(page.get_by_role("heading", name="sleep")).to_be_visible()
    _tab_to(page, "document.activeElement.textContent", "Cancel")
    keys.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    keys.press("Tab")
    keys.press("Enter")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("main").get_by_text("cancelled", exact=True).first).to_be_visible()

    cancelled = page.url
    _tab_to(page, "document.activeElement.textContent", "Run again")
    keys.press("Enter")
    expect(page).not_to_have_url(cancelled)

    keys.press("g")
    keys.press("h")
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    _tab_to(page, "document.activeElement.getAttribute('aria-label')", "Type")
    keys.type("no-such-type")
    expect(page.get_by_text("No job matches.")).to_be_visible()
    keys.press("Control+A")
    keys.type("sleep")
    rows = page.get_by_role("list", name="Jobs, newest first").get_by_role("listitem")
    expect(rows).to_have_count(2)
    keys.press("Shift+Tab")  # out of the field: shortcuts are text in it
    keys.press("?")
    expect(page.get_by_role("option", name=re.compile("New request"))).to_be_visible()
    keys.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


@SIZES
def test_all_jobs_that_match_are_cancelled_or_retried_after_a_count(
    arrive: Arrive, viewport: ViewportSize, dark: bool
) -> None:
    visitor = arrive(viewport=viewport, dark=dark)
    page = visitor.log_in()
    with visitor.system.client(visitor.name) as client:
        sleeps = [{"type": "sleep", "request": {"seconds": 300}}] * 130
        client.post("/api/enqueue/batch", json={"requests": sleeps})
        wait_for(lambda: client.get("/api/queue").json()["running"] == 5)
        page = visitor.open("/ui/history?state=queued")
        page.get_by_role("button", name="Cancel all…").click()
        dialog = page.get_by_role("dialog", name="Cancel 125 jobs?")
        expect(dialog).to_contain_text("125 jobs of yours that are queued will be cancelled")
        dialog.get_by_role("button", name="Keep as it is").click()
        assert client.get("/api/queue").json()["queued"] == 125
        page.get_by_role("button", name="Cancel all…").click()
        dialog.get_by_role("button", name="Cancel 125 jobs").click()
        expect(page.get_by_text("125 jobs cancelled or asked to stop.")).to_be_visible()
        expect(page.get_by_text("No job is queued.")).to_be_visible()
        assert client.get("/api/queue").json()["running"] == 5
        page = visitor.open("/ui/history")
        page.get_by_role("button", name="Cancel all…").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel 5 jobs").click()
        expect(page.get_by_text("5 jobs cancelled or asked to stop.")).to_be_visible()
        wait_for(lambda: client.get("/api/queue").json()["running"] == 0)


@SIZES
def test_a_request_is_delayed_or_put_off_until_a_time(
    arrive: Arrive, viewport: ViewportSize, dark: bool
) -> None:
    visitor = arrive(viewport=viewport, dark=dark)
    page = visitor.log_in()
    dialog = page.get_by_role("dialog", name="New request")
    tomorrow = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(days=1)
    local = page.evaluate(
        "at => { const d = new Date(at); return new Date(d - d.getTimezoneOffset() * 60000).toISOString().slice(0, 16) }",
        tomorrow.isoformat(),
    )
    for choice, label, value in (("after a delay", "Seconds", "7200"), ("not before a time", "Time", local)):
        page.keyboard.press("n")
        dialog.get_by_label("Type").fill("echo")
        dialog.get_by_label("Joins the lane").select_option(choice)
        dialog.get_by_label(label, exact=True).fill("")
        expect(dialog.get_by_role("button", name="Enqueue")).to_be_disabled()
        dialog.get_by_label(label, exact=True).fill(value)
        dialog.get_by_role("button", name="Enqueue").click()
        expect(dialog).to_be_hidden()
    expect(page.get_by_role("region", name="Delayed").get_by_role("listitem")).to_have_count(2)
    page.keyboard.press("n")
    expect(dialog.get_by_label("Joins the lane")).to_have_value(
        "now"
    )  # the next request is not delayed by mistake
    with visitor.system.client(visitor.name) as client:
        jobs = client.get("/api/jobs").json()["jobs"]
    moments = sorted(datetime.fromisoformat(job["not_before"]) for job in jobs)
    assert abs(moments[0] - datetime.now(UTC) - timedelta(hours=2)) < timedelta(minutes=2)
    # Of delayed jobs with one moment, other users' included, each gets the next microsecond.
    assert timedelta(0) <= moments[1] - tomorrow < timedelta(milliseconds=1)


@SIZES
def test_the_history_is_searched_by_what_stands_in_the_address(
    arrive: Arrive, viewport: ViewportSize, dark: bool
) -> None:
    visitor = arrive(viewport=viewport, dark=dark)
    page = visitor.log_in()
    with visitor.system.client(visitor.name) as client:
        requests = [{"type": "echo", "request": 1}] * 3 + [{"type": "wordcount", "request": 7}]
        ids = client.post("/api/enqueue/batch", json={"requests": requests}).json()["job_ids"]
        wait_for(lambda: client.get("/api/queue").json()["queued"] == 0)
        wait_for(lambda: client.get(f"/api/jobs/{ids[3]}").json()["state"] == "failed")
        part = client.get(f"/api/jobs/{ids[3]}").json()["error"]["message"][:8].strip().upper()
    page = visitor.open("/ui/history")
    if viewport == PHONE:
        page.get_by_role("button", name="Search…").click()
    page.get_by_label("Type", exact=True).fill("echo")
    rows = page.get_by_role("list", name="Jobs, newest first").get_by_role("listitem")
    expect(rows).to_have_count(3)
    expect(page.get_by_role("button", name="Cancel all…")).to_be_visible()
    page.get_by_label("Type", exact=True).fill("")
    expect(rows).to_have_count(4)
    page.get_by_label("Text in the error").fill(part)
    expect(rows).to_have_count(1)
    expect(page).to_have_url(re.compile("error="))
    cancel_all = page.get_by_role("button", name="Cancel all…")
    expect(cancel_all).to_have_count(0)  # it would act on more than is shown
    page.reload()
    expect(page.get_by_label("Text in the error")).to_have_value(part)
    expect(rows).to_have_count(1)
    page.get_by_label("Text in the error").fill("no such text")
    expect(page.get_by_text("No job matches.")).to_be_visible()
    page = visitor.open(f"/ui/history?id={ids[1]}")
    expect(rows).to_have_count(1)
    with visitor.system.client(visitor.name) as client:
        client.put("/api/schedules/nightly", json={"request": 1, "cron": yearly_cron()})
        run = client.post("/api/schedules/nightly/run").json()["job_id"]
    page = visitor.open(f"/ui/jobs/{run}")
    page.get_by_role("link", name="nightly").click()
    expect(page).to_have_url(re.compile("schedule=nightly$"))
    expect(rows).to_have_count(1)
    expect(cancel_all).to_have_count(0)
    page.get_by_label("Schedule", exact=True).fill("hourly")
    expect(page.get_by_text("No job matches.")).to_be_visible()
    page = visitor.open("/ui/history?since=2100-01-01T00:00")
    expect(page.get_by_text("No job matches.")).to_be_visible()
    page.get_by_label("Accepted from").fill("")
    expect(rows).to_have_count(5)


@SIZES
def test_what_runs_shows_its_last_lines_in_its_slot_also_those_from_before_the_page_was_opened(
    arrive: Arrive, tmp_path: Path, viewport: ViewportSize, dark: bool
) -> None:
    attack = "<img src=x onerror=\"document.title='attacked'\">"
    visitor = arrive(viewport=viewport, dark=dark)
    page = visitor.log_in()
    gate = tmp_path / "gate"
    second = f"dropped\nsecond\nthird\n{attack}"
    with visitor.system.client(visitor.name) as client:
        request = {"first": "first", "second": second, "gate": str(gate), "until": str(tmp_path / "end")}
        client.post("/api/enqueue", json={"type": "talk", "request": request})
        lines = page.get_by_role("group", name="Last lines of talk").get_by_role("paragraph")
        expect(lines).to_have_text(["first", "an error"])  # as they come
        wait_for(lambda: client.get("/api/jobs").json()["jobs"][0]["started_at"])
        job_id = client.get("/api/jobs").json()["jobs"][0]["job_id"]
        wait_for(lambda: client.get(f"/api/jobs/{job_id}/logs").json()["runs"])
        height = page.get_by_role("region", name="Slots").locator("li").first.bounding_box()
        page.reload()
        expect(lines).to_have_text(["first", "an error"])  # from the log: they came before
        gate.touch()
        expect(lines).to_have_text(["second", "third", attack])
        assert page.get_by_role("region", name="Slots").locator("li").first.bounding_box() == height
        assert page.locator("main img").count() == 0
        (tmp_path / "end").touch()
        expect(page.get_by_role("region", name="Ended last")).to_contain_text("succeeded")
    assert "attacked" not in page.title()


@SIZES
def test_every_attempt_of_a_job_is_in_its_timeline_with_worker_end_and_error(
    arrive: Arrive, viewport: ViewportSize, dark: bool
) -> None:
    visitor = arrive(viewport=viewport, dark=dark)
    page = visitor.log_in()
    with visitor.system.client(visitor.name) as client:
        job_id = client.post("/api/enqueue", json={"type": "flaky", "request": {"fail_times": 2}}).json()[
            "job_id"
        ]
        patient = client.post("/api/enqueue", json={"type": "patient", "request": None}).json()["job_id"]
        page = visitor.open(f"/ui/jobs/{patient}")
        timeline = page.get_by_role("list", name="Timeline")
        expect(timeline).to_contain_text("Attempt 1 failed")
        expect(page.locator("header").get_by_text("retrying", exact=True)).to_be_visible()
        expect(page.get_by_text("The job keeps its slot until the next one.")).to_be_visible()
        client.delete(f"/api/jobs/{patient}")
        page = visitor.open(f"/ui/jobs/{job_id}")
        steps = timeline.locator("li.step strong")
        expect(steps).to_have_text(
            [
                "Accepted",
                *("Attempt 1 started", "Attempt 1 failed", "Attempt 2 started", "Attempt 2 failed"),
                *("Attempt 3 started", "Attempt 3 succeeded", "Succeeded"),
            ],
            timeout=30_000,
        )
        job = client.get(f"/api/jobs/{job_id}").json()
        runs = client.get(f"/api/jobs/{job_id}/logs").json()["runs"]
    assert [run["outcome"] for run in runs] == ["failed", "failed"]
    workers = [run["worker"] for run in runs] + [job["worker"]]
    ran = timeline.locator("li.gap").filter(has_text=re.compile(r"\bran "))
    expect(ran).to_have_text([re.compile(rf"on {re.escape(worker)}\s*$") for worker in workers])
    expect(timeline.locator(".cause")).to_have_text([re.compile("RuntimeError")] * 2)
    expect(timeline.locator("li.gap").filter(has_text="paused")).to_have_count(2)
    starts = [run["started_at"] for run in runs] + [job["started_at"]]
    for number, at in enumerate(starts, 1):
        step = timeline.locator("li.step").filter(has_text=f"Attempt {number} started")
        expect(step.locator("time")).to_have_attribute("datetime", at)


def test_the_reader_chooses_between_dark_and_light_and_the_browser_keeps_it(arrive: Arrive) -> None:
    background = "getComputedStyle(document.documentElement).backgroundColor"
    visitor = arrive(dark=True)
    page = visitor.log_in()
    dark = page.evaluate(background)
    page.get_by_role("button", name=f"Account of {visitor.name}").click()
    page.get_by_role("button", name="light", exact=True).click()
    light = page.evaluate(background)
    assert light != dark
    page.reload()
    expect(page.get_by_role("heading", name="My queue")).to_be_visible()
    assert page.evaluate(background) == light
    page.keyboard.press("t")  # the next of automatic, light, dark
    assert page.evaluate(background) == dark
    page.keyboard.press("t")
    expect(page.locator("html[data-theme=auto]")).to_have_count(1)
    assert page.evaluate(background) == dark  # as the system has it


def test_a_relative_time_says_the_exact_one_when_the_pointer_rests_on_it(arrive: Arrive) -> None:
    visitor = arrive()
    page = visitor.log_in()
    with visitor.system.client(visitor.name) as client:
        job_id = client.post("/api/enqueue", json={"type": "echo", "request": 1}).json()["job_id"]
        wait_for(lambda: client.get(f"/api/jobs/{job_id}").json()["finished_at"])
        job = client.get(f"/api/jobs/{job_id}").json()
    for path in ("/ui/history", f"/ui/jobs/{job_id}"):
        time = visitor.open(path).get_by_role("main").locator("time").first
        expect(time).to_have_text(re.compile("ago$|^now$"))
        time.hover()
        at = time.get_attribute("datetime") or ""
        assert at in {job["enqueued_at"], job["finished_at"]}
        local = page.evaluate(
            "at => { const d = new Date(at); return [d.getFullYear(), d.getMonth() + 1, d.getDate(), d.getHours(), d.getMinutes(), d.getSeconds()] }",
            at,
        )
        title = time.get_attribute("title") or ""
        assert [int(number) for number in re.findall(r"\d+", title)[:6]] == local
        assert at.partition(".")[2].rstrip("Z") in title, "microseconds, too"


def test_a_large_payload_is_folded_until_the_reader_unfolds_it_and_is_saved_whole(arrive: Arrive) -> None:
    visitor = arrive()
    page = visitor.log_in()
    with visitor.system.client(visitor.name) as client:
        rows = [{"row": number} for number in range(100)]
        ids = [
            client.post("/api/enqueue", json={"type": "echo", "request": request}).json()["job_id"]
            for request in (rows, "x" * 200_000, [1, 2])
        ]
        wait_for(lambda: all(client.get(f"/api/jobs/{one}").json()["finished_at"] for one in ids))
    page = visitor.open(f"/ui/jobs/{ids[0]}")
    figure = page.locator("figure").filter(has=page.get_by_role("region", name="Payload"))
    text = figure.get_by_role("region", name="Payload")
    button = figure.get_by_role("button", name=re.compile("^(Show all|Fold)"))
    expect(button).to_have_attribute("aria-expanded", "false")
    expect(text).to_contain_text('"row": 0')
    expect(text).not_to_contain_text('"row": 99')
    button.click()
    expect(text).to_contain_text('"row": 99')
    button.click()
    expect(text).not_to_contain_text('"row": 99')
    page = visitor.open(f"/ui/jobs/{ids[1]}")
    expect(button).to_have_text("Show all 200 kB")
    assert len(text.inner_text()) < 4100
    with page.expect_download() as download:
        figure.get_by_role("button", name="Save payload as a file").click()
    assert download.value.path().read_text() == json.dumps("x" * 200_000)
    page = visitor.open(f"/ui/jobs/{ids[2]}")
    expect(text).to_contain_text("2")
    expect(button).to_have_count(0)


@SIZES
def test_the_queue_says_whether_a_program_is_connected_and_what_closing_does(
    arrive: Arrive, viewport: ViewportSize, dark: bool
) -> None:
    visitor = arrive(viewport=viewport, dark=dark)
    page = visitor.log_in()
    presence = page.locator(".presence")
    with visitor.system.client(visitor.name) as client:
        sleeps = [
            {"type": "sleep", "request": {"seconds": 300}},
            {"type": "patient", "request": None},
        ]
        client.post("/api/enqueue/batch", json={"requests": sleeps})
        expect(presence).to_contain_text("Not connected. All your jobs are processed.")
        expect(presence).to_contain_text("This page only watches: closing it changes nothing.")
        patient = page.get_by_role("region", name="Slots").get_by_role("listitem").filter(has_text="patient")
        expect(patient).to_contain_text("retrying")
        expect(patient).to_contain_text(re.compile(r"next: attempt 2 of 3, in \d+ (s|m)"))
        with client.stream("GET", "/api/connect") as stream:
            lines = stream.iter_lines()
            assert next(lines)
            expect(presence).to_contain_text("Connected by a program of yours", timeout=30_000)
            expect(presence).to_contain_text("jobs that wait may be cancelled")
        wait_for(lambda: not client.get("/api/queue").json()["connected"])  # the page alone is no presence
        expect(presence).to_contain_text("Not connected.", timeout=30_000)
        client.post("/api/operations", json={"action": "cancel"})
