"""What an administrator does, while users use the system."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Route, ViewportSize, expect

from tests.browser.conftest import DESKTOP, PHONE, Arrive, Visitor
from tests.browser.system import ADMIN, wait_for


def is_empty(client: httpx.Client) -> bool:
    """Whether the client's lane holds nothing that could run."""
    queue = client.get("/api/queue").json()
    return bool(queue["queued"] == queue["running"] == 0)


def dead_letters(admin: Visitor, user: str) -> int:
    """How many dead letters of the user MongoDB has: it gets them a while after the jobs have ended."""
    with admin.system.client(ADMIN) as client:
        groups = client.get("/api/admin/failures", params={"user": user}).json()["groups"]
    return sum(group["count"] for group in groups)


def narrow_down(page: Page, label: str, text: str) -> None:
    """Write into a search field, and wait until the page has taken it: its rows move then."""
    page.get_by_label(label).fill(text)
    expect(page).to_have_url(re.compile(rf"[?&]\w+={re.escape(text)}(&|$)"))


def test_a_lane_is_paused_limited_and_purged_while_its_user_looks_on(arrive: Arrive) -> None:
    ann, admin = arrive(), arrive(dark=True)
    hers = ann.log_in()
    with ann.system.client(ann.name) as client:
        for _ in range(8):
            client.post("/api/enqueue", json={"type": "sleep", "request": {"seconds": 300}})
    expect(hers.get_by_role("region", name="Slots").get_by_role("button", name="Cancel")).to_have_count(5)

    admin.log_in(ADMIN)
    page = admin.open("/ui/lanes")
    narrow_down(
        page, "Users that begin with", ann.name
    )  # its row may lie below the window among other tests' lanes
    lane = page.get_by_role("listitem").filter(has_text=ann.name)
    expect(lane).to_contain_text("5 / 5")
    page.get_by_role("button", name=f"Pause the lane of {ann.name}").click()
    expect(lane).to_contain_text("paused")
    expect(hers.get_by_text("Paused by an administrator")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name=f"Resume the lane of {ann.name}").click()
    expect(lane).to_contain_text("5 / 5")

    page.get_by_role("button", name=f"Limit the lane of {ann.name}").click()
    page.get_by_role("dialog").get_by_label("Slots").fill("7")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(lane).to_contain_text("7 / 7")

    page.get_by_role("button", name=f"Purge the lane of {ann.name}").click()
    dialog = page.get_by_role("dialog", name=f"Purge the lane of {ann.name}?")
    expect(dialog).to_contain_text("1 job of")
    expect(dialog).to_contain_text("7 jobs in slots may go on")
    dialog.get_by_role("button", name="Cancel 1 job").click()
    expect(page.get_by_text(f"1 job of {ann.name} cancelled.")).to_be_visible()
    expect(hers.get_by_text("Nothing waits.")).to_be_visible()
    expect(hers.get_by_role("region", name="Ended last")).to_contain_text("purged by an administrator")
    with ann.system.client(ann.name) as client:
        client.post("/api/operations", json={"action": "cancel"})


def test_dead_letters_are_retried_in_order_or_dropped(arrive: Arrive) -> None:
    bob, admin = arrive(), arrive()
    bob.log_in()
    with bob.system.client(bob.name) as client:
        for number in range(3):
            client.post("/api/enqueue", json={"type": "thumbnail", "request": {"n": number}})
        wait_for(lambda: len(client.get("/api/jobs?state=failed").json()["jobs"]) == 3)
        admin.log_in(ADMIN)
        page = admin.open("/ui/failures")
        narrow_down(page, "Only of this user", bob.name)
        rows = page.get_by_role("list", name=re.compile("Dead letters")).get_by_role("listitem")
        expect(rows).to_have_count(3, timeout=30_000)
        rows.first.get_by_role("button", name="Drop").click()
        page.get_by_role("dialog").get_by_role("button", name="Drop").click()
        expect(rows).to_have_count(2)
        page.get_by_label("Choose all that are shown").check()
        expect(page.get_by_text("2 jobs chosen")).to_be_visible()
        page.get_by_role("button", name="Retry in order").click()
        expect(page.get_by_text("2 jobs enqueued again.")).to_be_visible()
        jobs = client.get("/api/jobs").json()["jobs"]
    assert [job["request"]["n"] for job in jobs] == [2, 1, 2, 1, 0]


def test_the_groups_of_dead_letters_are_of_the_present_filter_and_load_again_after_an_outage(
    arrive: Arrive,
) -> None:
    fay, admin = arrive(), arrive()
    fay.system.register(fay.name)
    with fay.system.client(fay.name) as client:
        client.post("/api/enqueue", json={"type": "thumbnail", "request": {"n": 1}})
        wait_for(lambda: is_empty(client))
    admin.log_in(ADMIN)
    page = admin.open(f"/ui/failures?user={fay.name}")
    causes = page.get_by_role("region", name="By error")
    expect(causes).to_be_visible(timeout=30_000)
    asked: list[Route] = []
    failures = re.compile(r"/api/admin/failures\?")

    def hold(route: Route) -> None:
        asked.append(route)

    page.route(failures, hold)
    with page.expect_request(failures):
        causes.get_by_role("button", name="Show the 1 with").click()
    expect(causes).to_be_hidden()
    asked.pop().abort()
    expect(page.get_by_text("The server does not answer.")).to_be_visible()
    page.unroute(failures)
    expect(causes.get_by_role("button", name="Show all")).to_be_visible()
    expect(page.get_by_text("The server does not answer.")).to_be_hidden()
    admin.watch.forgive("ERR_")


@pytest.mark.parametrize(("viewport", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["desktop", "phone"])
def test_all_dead_letters_that_match_are_retried_or_dropped(
    arrive: Arrive, viewport: ViewportSize, dark: bool
) -> None:
    """The page counts them first, those that it has not loaded too."""
    dora, admin = arrive(), arrive(viewport=viewport, dark=dark)
    dora.system.register(dora.name)
    with dora.system.client(dora.name) as client:
        bad = [{"type": "thumbnail", "request": {"n": number}} for number in range(120)]
        client.post("/api/enqueue/batch", json={"requests": bad})
        client.post("/api/enqueue", json={"type": "wordcount", "request": "no text"})
        wait_for(lambda: dead_letters(admin, dora.name) == 121)
        admin.log_in(ADMIN)
        page = admin.open(f"/ui/failures?user={dora.name}&type=thumbnail")
        causes = page.get_by_role("region", name="By error")
        expect(causes.get_by_role("listitem")).to_have_count(1, timeout=30_000)
        expect(causes).to_contain_text("the request has no field 'size'")
        page.get_by_role("button", name="Retry all…").click()
        dialog = page.get_by_role("dialog", name="Retry 120 dead letters?")
        expect(dialog).to_contain_text(f"120 dead letters of the type thumbnail of {dora.name}")
        dialog.get_by_role("button", name="Retry 120 dead letters").click()
        expect(page.get_by_text("120 jobs enqueued again.")).to_be_visible()
        wait_for(lambda: is_empty(client) and dead_letters(admin, dora.name) == 121)
        jobs = client.get("/api/jobs", params={"limit": 100, "type": "thumbnail"}).json()["jobs"]
        assert [job["request"]["n"] for job in reversed(jobs)] == list(range(20, 120))
        page = admin.open(f"/ui/failures?user={dora.name}")
        page.get_by_role("button", name="Drop all…").click()
        page.get_by_role("dialog", name="Drop 121 dead letters?").get_by_role(
            "button", name="Drop 121"
        ).click()
        expect(page.get_by_text("121 jobs dropped.")).to_be_visible(timeout=60_000)
        expect(page.get_by_text("No job has failed for good.")).to_be_visible()
        assert len(client.get("/api/jobs?state=failed&limit=100").json()["jobs"]) == 100


def test_the_audit_log_says_what_administrators_did(arrive: Arrive) -> None:
    erin, admin = arrive(), arrive(viewport=PHONE)
    erin.system.register(erin.name)
    with admin.system.client(ADMIN) as client:
        client.post(f"/api/admin/lanes/{erin.name}/pause")
        client.put(f"/api/admin/lanes/{erin.name}/limit", json={"slots": 9})
    admin.log_in(ADMIN)
    page = admin.page
    page.get_by_role("button", name="More").click()
    page.get_by_role("link", name="Audit log").last.click()
    entries = page.get_by_role("list", name="Actions of administrators, newest first").get_by_role("listitem")
    expect(entries.nth(0)).to_contain_text(f"set the slots of {erin.name}")
    expect(entries.nth(0)).to_contain_text("slots 9")
    expect(entries.nth(1)).to_contain_text(f"paused the lane of {erin.name}")
    expect(entries.nth(1)).to_contain_text(ADMIN)


def test_the_overview_counts_and_draws_what_happened(arrive: Arrive) -> None:
    fred, admin = arrive(), arrive()
    fred.system.register(fred.name)
    with fred.system.client(fred.name) as client:
        for _ in range(3):
            client.post("/api/enqueue", json={"type": "echo", "request": 1})
        wait_for(lambda: client.get("/api/queue").json()["queued"] == 0)
    admin.log_in(ADMIN)
    page = admin.open("/ui/overview")
    succeeded = page.locator(".figures > div").filter(has_text="Succeeded").get_by_role("definition")
    expect(succeeded).not_to_have_text("0", timeout=40_000)
    figures = page.locator("figure")
    expect(figures).to_have_count(3)
    expect(figures.first.locator("canvas")).to_be_visible()
    page.get_by_role("button", name="90 d").click()
    expect(page).to_have_url(re.compile(r"span=90"))
    expect(page.get_by_text("Accepted in 90 d")).to_be_visible()


def test_workers_show_what_they_run_and_lead_to_the_job(arrive: Arrive, tmp_path: Path) -> None:
    gina, admin = arrive(), arrive(viewport=PHONE)
    gina.system.register(gina.name)
    with gina.system.client(gina.name) as client:
        client.post("/api/enqueue", json={"type": "sleep", "request": {"seconds": 90}})
        said = {"first": "a", "second": "b", "gate": str(tmp_path / "gate")}
        client.post("/api/enqueue", json={"type": "talk", "request": said})  # a plain one
    admin.log_in(ADMIN)
    page = admin.open("/ui/workers")
    narrow_down(page, "Only jobs of this user", gina.name)  # the page cuts long lists of jobs
    jobs = page.get_by_role("list", name="Jobs that").get_by_role("listitem").filter(has_text=gina.name)
    expect(jobs.filter(has_text="talk")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("region", name="Jobs without a worker")).to_have_count(0)
    (tmp_path / "gate").touch()
    job = jobs.filter(has_text="sleep")
    expect(job).to_contain_text("sleep", timeout=30_000)
    expect(page.get_by_text("No operator has reported a pool")).to_be_visible()
    job.get_by_role("link").click()
    expect(page.get_by_role("heading", name="sleep")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text(gina.name)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)  # it is another user's


def test_the_log_of_a_users_job_is_asked_for_again_only_while_the_job_runs(arrive: Arrive) -> None:
    """Events tell an administrator nothing of another user's jobs, and a log may be large."""
    gina, admin = arrive(), arrive()
    gina.system.register(gina.name)
    with gina.system.client(gina.name) as client:
        batch = [{"type": "sleep", "request": {"seconds": 300}}] * 6
        jobs = client.post("/api/enqueue/batch", json={"requests": batch}).json()["job_ids"]
        wait_for(lambda: client.get("/api/queue").json()["running"] == 5)
        page = admin.log_in(ADMIN)
        logs: list[str] = []
        page.on(
            "request", lambda request: logs.append(request.url) if request.url.endswith("/logs") else None
        )
        admin.open(f"/ui/jobs/{jobs[5]}?user={gina.name}")
        of_job = re.compile(rf"/{gina.name}/{jobs[5]}(\?|$)")
        for _ in range(4):
            with page.expect_response(of_job, timeout=30_000):
                pass
        assert len(logs) <= 2  # at first, and once the live stream is open
        client.delete(f"/api/jobs/{jobs[0]}")
        expect(page.get_by_role("list", name="Timeline")).to_contain_text("Started", timeout=30_000)
        wait_for(lambda: client.get(f"/api/jobs/{jobs[5]}").json()["state"] == "running")
        for _ in range(2):
            with page.expect_request(re.compile("/logs$"), timeout=30_000):
                pass
        client.post("/api/operations", json={"action": "cancel"})


def test_a_user_becomes_an_administrator_and_sees_the_operators_views(arrive: Arrive) -> None:
    carol, admin = arrive(), arrive()
    page = carol.log_in()
    expect(page.get_by_role("link", name="Lanes")).to_have_count(0)
    page = carol.open("/ui/users")
    expect(page.get_by_text("There is no such page")).to_be_visible()

    admin.log_in(ADMIN)
    page = admin.open("/ui/users")
    narrow_down(page, "Name begins with", carol.name)  # her row may lie below the window
    rows = page.get_by_role("list", name="Users, by name").get_by_role("listitem")
    expect(rows).to_have_count(1)
    page.get_by_role("button", name=f"Make admin: {carol.name}").click()
    page.get_by_role("button", name="Make administrator").click()
    expect(page.get_by_text(f"{carol.name} is an administrator.")).to_be_visible()
    page.get_by_role("button", name="administrators").click()
    expect(page).to_have_url(re.compile(rf"name={carol.name}&role=admin$"))
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(carol.name)
    page.reload()
    expect(page.get_by_label("Name begins with")).to_have_value(carol.name)
    narrow_down(page, "Name begins with", "no-such-user")
    expect(page.get_by_text("No user matches.")).to_be_visible()

    page = carol.open("/")
    page.get_by_role("button", name=f"Account of {carol.name}").click()
    page.get_by_role("button", name="Log out").click()
    carol.log_in(carol.name)
    expect(page.get_by_role("link", name="Lanes")).to_be_visible()


def test_lanes_are_sorted_by_jobs_wait_or_failures(arrive: Arrive) -> None:
    early, admin = arrive().name, arrive()
    late = early + "-b"
    for user, jobs in ((early, 8), (late, 9)):
        admin.system.register(user)
        with admin.system.client(user) as client:
            if user == late:
                client.post("/api/enqueue", json={"type": "thumbnail", "request": "no picture"})
            sleeps = [{"type": "sleep", "request": {"seconds": 60}}] * jobs
            client.post("/api/enqueue/batch", json={"requests": sleeps})
    admin.log_in(ADMIN)
    page = admin.open("/ui/lanes")
    narrow_down(page, "Users that begin with", early)
    rows = page.get_by_role("list", name="Lanes").get_by_role("listitem")
    order = page.get_by_role("group", name="Sorted by")
    expect(rows).to_contain_text([early, late])
    order.get_by_role("button", name="most jobs").click()
    expect(page).to_have_url(re.compile(rf"user={early}&sort=backlog$"))
    expect(rows.first).to_contain_text(late)
    order.get_by_role("button", name="longest wait").click()
    expect(rows.first.locator(".user")).to_have_text(early)
    order.get_by_role("button", name="most failures").click()
    expect(rows).to_have_count(1)
    expect(rows.locator(".user")).to_have_text(late)
    expect(rows.locator(".waits")).to_have_text("1")
