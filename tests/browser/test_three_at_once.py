"""Two users and an administrator at once, each in a browser of their own, go through every page; each sees what is theirs."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import ViewportSize, expect

from tests.browser.alignment import aligned
from tests.browser.conftest import DESKTOP, PHONE, Arrive, Visitor
from tests.browser.pools import reconcile
from tests.browser.system import ADMIN, PASSWORD, System, yearly_cron
from tests.browser.test_operator import narrow_down

SLOTS, SLEEPS = 5, 9
RACE_MS = 90_000
Look = tuple[ViewportSize, bool]
"""The size of the window, and whether the system is dark."""


class User:
    """A person who has just signed up, and the jobs that the test made for them."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor, self.page, self.name = visitor, visitor.page, visitor.name
        self.jobs: dict[str, str] = {}

    def sign_up(self) -> None:
        page = self.visitor.open()
        page.get_by_role("button", name="Make an account").click()
        page.get_by_label("User name").fill(self.name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign up").click()
        page.get_by_role("button", name="Enqueue a first request").click()

    def see_the_first_request_pass(self) -> None:
        expect(self.page.get_by_role("region", name="Ended last")).to_contain_text("succeeded")

    def enqueue(self) -> None:
        """Jobs of each kind of end: an error, two attempts, a result."""
        with self.visitor.system.client(self.name) as client:
            for type_, more in (
                ("break_plain", {}),
                ("break_async", {}),
                ("flaky", {"fail_times": 1}),
                ("echo", {}),
            ):
                job = {"type": type_, "request": {"of": self.name, **more}}
                self.jobs[type_] = client.post("/api/enqueue", json=job).json()["job_id"]
            client.put("/api/schedules/nightly", json={"request": {"of": self.name}, "cron": yearly_cron()})
            client.post("/api/keys", json={"name": f"key-of-{self.name}"})

    def look_at_the_jobs(self, other: User) -> None:
        page = self.page
        for type_ in ("break_plain", "break_async"):
            self.visitor.open(f"/ui/jobs/{self.jobs[type_]}")
            error = page.get_by_role("region", name="Error")
            expect(error).to_contain_text("ZeroDivisionError")
            expect(error).to_contain_text("division by zero")
            lines = page.get_by_role("log", name="Lines")
            for line in (
                "Traceback (most recent call last):",
                f", in {type_}",
                "return _divide(0)",
                ", in _divide",
                "return 1 / by",
                "ZeroDivisionError: division by zero",
            ):
                expect(lines).to_contain_text(line)
        self.visitor.open(f"/ui/jobs/{self.jobs['flaky']}")
        steps = page.get_by_role("list", name="Timeline").locator("li.step strong")
        expect(steps.filter(has_text="Attempt")).to_have_text(
            ["Attempt 1 started", "Attempt 1 failed", "Attempt 2 started", "Attempt 2 succeeded"]
        )
        self.visitor.open(f"/ui/jobs/{self.jobs['echo']}")
        for name in ("Payload", "Result"):
            expect(page.get_by_role("region", name=name)).to_contain_text(self.name)
        self.visitor.open(f"/ui/jobs/{other.jobs['echo']}")  # a link that was shared with who may not see it
        expect(page.get_by_text("This cannot be shown")).to_be_visible()
        expect(page.get_by_role("main")).not_to_contain_text(other.name)

    def fill_the_lane(self) -> None:
        with self.visitor.system.client(self.name) as client:
            sleeps = [{"type": "sleep", "request": {"of": self.name, "seconds": 300}}] * SLEEPS
            client.post("/api/enqueue/batch", json={"requests": sleeps})

    def look_at_the_queue(self) -> None:
        """What runs and what waits, and why; a job that waits is cancelled, and run again as edited."""
        page = self.visitor.open("/")
        waiting = page.get_by_role("list", name="Waiting jobs")
        expect(page.get_by_role("region", name="Slots").get_by_role("button", name="Cancel")).to_have_count(
            SLOTS
        )
        expect(waiting.get_by_role("listitem")).to_have_count(SLEEPS - SLOTS)
        expect(page.get_by_role("region", name="Why it waits")).to_contain_text("it is the next to start")
        waiting.get_by_role("button", name="Cancel sleep").last.click()
        page.get_by_role("button", name="Cancel the job").click()
        expect(waiting.get_by_role("listitem")).to_have_count(SLEEPS - SLOTS - 1)
        page.get_by_role("region", name="Ended last").get_by_role(
            "link", name=re.compile("sleep")
        ).first.click()
        page.get_by_role("button", name="Edit and run again").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Payload").fill(f'{{"of": "{self.name}", "seconds": 301}}')
        dialog.get_by_role("button", name="Enqueue").click()
        expect(dialog).to_be_hidden()
        page = self.visitor.open("/")
        expect(waiting.get_by_role("listitem").last).to_contain_text("301")
        assert aligned(page) >= SLEEPS - SLOTS
        assert set(re.findall(r'"of":"([\w-]+)"', page.get_by_role("main").inner_text())) == {self.name}

    def look_at_what_is_kept(self) -> None:
        page = self.visitor.open("/ui/schedules")
        expect(page.get_by_role("list", name="Schedules").get_by_role("listitem")).to_have_count(1)
        expect(page.get_by_role("list", name="Schedules")).to_contain_text(self.name)
        page = self.visitor.open("/ui/account")
        keys = page.get_by_role("list", name="API keys").get_by_role("listitem")
        expect(keys).to_have_count(1)
        expect(keys).to_contain_text(f"key-of-{self.name}")

    def search_and_cancel_all(self) -> None:
        page = self.visitor.open("/ui/history?error=division")
        rows = page.get_by_role("list", name="Jobs, newest first").get_by_role("listitem")
        expect(rows).to_have_count(2)
        page = self.visitor.open("/ui/history?state=queued")
        expect(rows).to_have_count(SLEEPS - SLOTS)
        aligned(page)
        page.get_by_role("button", name="Cancel all…").click()
        dialog = page.get_by_role("dialog", name=f"Cancel {SLEEPS - SLOTS} jobs?")
        dialog.get_by_role("button", name=f"Cancel {SLEEPS - SLOTS} jobs").click()
        expect(page.get_by_text(f"{SLEEPS - SLOTS} jobs cancelled or asked to stop.")).to_be_visible()
        expect(page.get_by_text("No job is queued.")).to_be_visible()

    def find_by_the_palette(self) -> None:
        keys = self.page.keyboard
        keys.press("Control+k")
        keys.type(self.jobs["echo"])
        keys.press("Enter")
        expect(self.page.get_by_role("heading", name="echo")).to_be_visible()

    def is_paused(self, *, paused: bool) -> None:
        page = self.visitor.open("/")
        expect(page.get_by_role("region", name="Slots")).to_be_visible()
        expect(page.get_by_text("Paused by an administrator")).to_have_count(int(paused))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "looks",
    [((DESKTOP, False), (PHONE, True), (DESKTOP, True)), ((PHONE, False), (DESKTOP, True), (PHONE, False))],
    ids=["one-way", "the-other"],
)
def test_three_go_through_every_page_at_once_and_each_sees_what_is_theirs(
    arrive: Arrive, redis_url: str, prefix: str, tmp_path: Path, looks: tuple[Look, Look, Look]
) -> None:
    system = System(tmp_path, redis_url=redis_url, key_prefix=prefix)
    system.start()
    try:
        visitors = [arrive(of=system, viewport=viewport, dark=dark) for viewport, dark in looks]
        _go_through_every_page(*visitors, report_a_pool=partial(reconcile, redis_url, prefix, 1))
        for visitor in visitors:
            visitor.page.close()  # before the system stops: the page would log that
    finally:
        system.stop()


def _go_through_every_page(
    hers: Visitor, his: Visitor, admin: Visitor, *, report_a_pool: Callable[[], None]
) -> None:
    hers.name = f"{his.name}-a"  # one name begins with the other
    ann, bob = User(hers), User(his)
    for user in (ann, bob):
        user.sign_up()
    admin.log_in(ADMIN)
    page = admin.open("/ui/race")
    page.get_by_role("button", name="Start the race").click()
    for user in (ann, bob):
        user.see_the_first_request_pass()
        user.enqueue()
    ann.look_at_the_jobs(bob)
    bob.look_at_the_jobs(ann)
    expect(page.get_by_role("button", name="Race again")).to_be_visible(timeout=RACE_MS)
    expect(page.get_by_role("status").filter(has_text="Bob's job was number")).to_be_visible()
    for user in (ann, bob):
        user.fill_the_lane()
    ann.look_at_the_queue()
    bob.look_at_the_queue()

    _look_at_the_lanes(admin, ann, bob)
    ann.find_by_the_palette()
    bob.search_and_cancel_all()
    _look_at_the_failures(admin, ann, bob)
    for user in (ann, bob):
        user.look_at_what_is_kept()
    bob.find_by_the_palette()
    report_a_pool()
    _look_at_the_rest(admin, ann, bob)
    for user in (ann, bob):
        user.visitor.watch.forgive("404")  # of the other's job
        with user.visitor.system.client(user.name) as client:
            client.post("/api/operations", json={"action": "cancel"})


def _look_at_the_lanes(admin: Visitor, ann: User, bob: User) -> None:
    """What the administrator does to Ann's lane leaves Bob's alone."""
    page = admin.open("/ui/ring")
    served = page.get_by_role("list", name="Lanes that are served").get_by_role("listitem")
    for user in (ann, bob):
        lane = served.filter(has=page.get_by_text(user.name, exact=True))
        expect(lane.locator(".number").first).to_have_text(str(SLOTS))
    assert aligned(page)
    page = admin.open("/ui/lanes")
    narrow_down(page, "Users that begin with", bob.name)
    rows = page.get_by_role("list", name="Lanes").get_by_role("listitem")
    expect(rows.locator(".user")).to_have_text([bob.name, ann.name])
    his_row, her_row = rows.nth(0), rows.nth(1)
    assert aligned(page)
    page.get_by_role("button", name=f"Pause the lane of {ann.name}").click()
    expect(her_row.locator(".slots")).to_have_text("paused")
    expect(his_row.locator(".slots")).to_have_text(f"{SLOTS} / {SLOTS}")
    ann.is_paused(paused=True)
    bob.is_paused(paused=False)
    page.get_by_role("button", name=f"Resume the lane of {ann.name}").click()
    expect(her_row.locator(".slots")).to_have_text(f"{SLOTS} / {SLOTS}")
    ann.is_paused(paused=False)
    waiting = SLEEPS - SLOTS
    page.get_by_role("button", name=f"Purge the lane of {ann.name}").click()
    dialog = page.get_by_role("dialog", name=f"Purge the lane of {ann.name}?")
    expect(dialog).to_contain_text(f"{waiting} jobs of {ann.name}")
    dialog.get_by_role("button", name=f"Cancel {waiting} jobs").click()
    expect(ann.page.get_by_text("Nothing waits.")).to_be_visible()
    expect(ann.page.get_by_role("region", name="Ended last")).to_contain_text("purged by an administrator")
    expect(bob.page.get_by_role("list", name="Waiting jobs").get_by_role("listitem")).to_have_count(waiting)
    expect(his_row.locator(".jobs")).to_have_text(str(SLEEPS))


def _look_at_the_failures(admin: Visitor, ann: User, bob: User) -> None:
    """One of Ann's groups of dead letters is retried; Bob's stay."""
    page = admin.open(f"/ui/failures?user={ann.name}")
    causes = page.get_by_role("region", name="By error")
    expect(causes.get_by_role("listitem")).to_have_count(2)
    assert aligned(page)
    causes.get_by_role("button", name=re.compile("^Show the 1 with .* in break_async")).click()
    letters = page.get_by_role("list", name=re.compile("Dead letters")).get_by_role("listitem")
    expect(letters).to_have_count(1)
    page.get_by_role("button", name="Retry all…").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry 1 dead letter").click()
    expect(page.get_by_text("1 job enqueued again.")).to_be_visible()
    with ann.visitor.system.client(ann.name) as client:
        again = client.get("/api/jobs", params={"type": "break_async"}).json()["jobs"]
    assert len(again) == 2
    page = admin.open(f"/ui/failures?user={bob.name}")
    expect(letters).to_have_count(2)
    page = admin.open(f"/ui/jobs/{ann.jobs['echo']}?user={ann.name}")  # whoever may see it
    expect(page.get_by_role("region", name="Result")).to_contain_text(ann.name)


def _look_at_the_rest(admin: Visitor, ann: User, bob: User) -> None:
    page = admin.open("/ui/overview")
    expect(page.locator("figure canvas")).to_have_count(3)
    page = admin.open("/ui/workers")
    narrow_down(page, "Only jobs of this user", bob.name)
    expect(page.get_by_role("list", name="Jobs that").get_by_role("listitem").first).to_contain_text(bob.name)
    assert aligned(page)
    pool = page.get_by_role("region", name="Pool pool")
    wanted = pool.locator("dl.figures > div").filter(has=page.get_by_text("wanted", exact=True))
    with admin.system.client(ADMIN) as client:
        (reported,) = client.get("/api/admin/pools").json()["pools"]
    expect(wanted.get_by_role("definition")).to_have_text(str(reported["replicas"]["wanted"]))
    page = admin.open(f"/ui/users?name={bob.name}")
    expect(page.get_by_role("list", name="Users, by name").get_by_role("listitem")).to_have_count(2)
    aligned(page)  # a narrow window has no numbers here
    page = admin.open("/ui/audit")
    entries = page.get_by_role("list", name="Actions of administrators, newest first").get_by_role("listitem")
    for action in ("purged", "resumed", "paused"):
        expect(entries.filter(has_text=f"{action} the lane of {ann.name}").first).to_be_visible()
    expect(entries.filter(has_text=re.compile(rf"lane of {bob.name}\b(?!-)"))).to_have_count(0)
    assert aligned(page)
