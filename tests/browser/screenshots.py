"""`make screenshots`: the pictures of docs/dashboard.md, of a real system with some tenants at work."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM, PHONE
from tests.browser.system import ADMIN, PASSWORD, System, wait_for

IMAGES = Path(__file__).parents[2] / "docs/images"
WIDE = ViewportSize(width=1200, height=760)
COLOURS = 256
TENANTS = {
    "acme": 240,
    "borealis": 31,
    "cobalt": 12,
    "delta-freight": 57,
    "evergreen": 3,
    "fjord": 118,
    "granite": 8,
}
TEXT = "To be, or not to be, that is the question: whether 'tis nobler in the mind to suffer"


def main() -> None:
    """Write all pictures. Needs Chromium and a built dashboard."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        system = System(Path(folder))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        system.start()
        try:
            _take_all(browser, system)
        finally:
            browser.close()
            system.stop()


def _take_all(browser: Browser, system: System) -> None:
    system.register("ann")
    _visit(browser, system, "ann", [("", "first-visit", _no_preparation)])
    failed = _work_of_a_user(system)
    for tenant, jobs in TENANTS.items():
        _work_of_a_tenant(system, tenant, jobs)
    _account_of_a_user(system)
    _work_of_an_administrator(system)
    pages = [
        ("queue", "queue", _no_preparation),
        ("history", "history", _no_preparation),
        (f"jobs/{failed}", "job", _hide_the_folder),
        ("queue", "form", _open_form),
        ("schedules", "schedules", _no_preparation),
        ("webhooks", "webhooks", _no_preparation),
        ("account", "account", _no_preparation),
        ("queue", "palette", lambda page: page.keyboard.press("Control+k")),
    ]
    _visit(browser, system, "ann", pages)
    _visit(browser, system, "ann", [("queue", "phone", _no_preparation)], viewport=PHONE, dark=True)
    _gate(system).touch()
    with system.client("ann") as client:  # what waits for a delivery would stand among the tenants
        for webhook in client.get("/api/webhooks").json()["webhooks"]:
            client.delete(f"/api/webhooks/{webhook['webhook_id']}")
    operator = [
        ("overview", "overview", _no_preparation),
        ("workers", "workers", _no_preparation),
        ("audit", "audit", _no_preparation),
        ("users", "users", _no_preparation),
        ("lanes", "lanes", _no_preparation),
        ("failures", "dead-letters", _no_preparation),
        ("lanes", "purge", lambda page: page.get_by_role("button", name="Purge the lane of acme").click()),
    ]
    _visit(browser, system, ADMIN, operator, dark=True)
    _fill_the_ring(system)
    _visit(browser, system, ADMIN, [("ring", "ring", _no_preparation)], dark=True)
    wait_for(lambda: _is_idle(system), 120)  # Ann and Bob race alone
    _visit(browser, system, ADMIN, [("race", "race", _race)], dark=True)


def _work_of_a_user(system: System) -> str:
    """A history with every state, and a lane that is busy for a minute; a job that has failed."""
    with system.client("ann") as client:
        failed = client.post("/api/enqueue", json={"type": "flaky", "request": {"fail_times": 9}}).json()
        for request in ({"text": TEXT}, {"text": "lanes, slots and turns"}):
            client.post("/api/enqueue", json={"type": "wordcount", "request": request})
        client.post(
            "/api/enqueue", json={"type": "echo", "request": {"order": 9007199254740993, "paid": True}}
        )
        cancelled = client.post("/api/enqueue", json={"type": "sleep", "request": {"seconds": 30}}).json()
        wait_for(lambda: client.get(f"/api/jobs/{failed['job_id']}").json()["state"] == "failed")
        client.delete(f"/api/jobs/{cancelled['job_id']}")
        said = {
            "first": "read 1,204 rows of orders.csv\nrow 381 has no date",
            "second": "",
            "gate": str(_gate(system)),
        }
        client.post("/api/enqueue", json={"type": "talk", "request": said})
        for seconds in (90, 60, 45, 120, 70, 30, 20, 25):
            client.post("/api/enqueue", json={"type": "sleep", "request": {"seconds": seconds}})
        wait_for(lambda: client.get("/api/queue").json()["running"] == 5)
        return str(failed["job_id"])


def _gate(system: System) -> Path:
    """The file for which a job waits that has logged something."""
    return system.folder / "gate"


def _account_of_a_user(system: System) -> None:
    """Two API keys, three schedules and two webhooks."""
    with system.client("ann") as client:
        for name, scopes, days in (("importer", ["enqueue"], 90), ("nightly-report", ["enqueue", "read"], 5)):
            client.post("/api/keys", json={"name": name, "scopes": scopes, "expires_in": days * 86_400})
        for name, timing in (
            ("daily-summary", {"cron": "0 9 * * 1-5", "time_zone": "Europe/Berlin"}),
            ("poll-inbox", {"every_seconds": 300}),
            ("weekly-cleanup", {"cron": "0 5 * * 1"}),
        ):
            client.put(f"/api/schedules/{name}", json={"type": "echo", "request": {"text": name}, **timing})
        client.post("/api/schedules/weekly-cleanup/pause")
        for url, states in (
            ("http://127.0.0.1:8080/laneway", ["succeeded", "failed", "cancelled"]),
            ("http://127.0.0.1:9/laneway", ["failed"]),
        ):
            webhook = client.post("/api/webhooks", json={"url": url, "states": states}).json()
            client.post(f"/api/webhooks/{webhook['webhook_id']}/test")


def _work_of_an_administrator(system: System) -> None:
    """Some entries in the audit log."""
    with system.client(ADMIN) as client:
        client.post("/api/admin/lanes/fjord/pause")
        client.post("/api/admin/lanes/fjord/resume")
        client.put("/api/admin/lanes/granite/limit", json={"slots": 8})


def _work_of_a_tenant(system: System, name: str, jobs: int) -> None:
    system.register(name)
    requests = [{"type": "sleep", "request": {"seconds": 300}}] * jobs
    with system.client(name) as client:
        client.post("/api/enqueue", json={"type": "wordcount", "request": {"path": f"reports/{name}.txt"}})
        client.post("/api/enqueue/batch", json={"requests": requests})


def _fill_the_ring(system: System) -> None:
    """Keep all processes busy, so that the lanes of some more tenants wait for their turns."""
    for name, jobs in (
        ("zenith", 2),
        ("harbor", 14),
        ("iris", 3),
        ("juniper", 420),
        ("kestrel", 1),
        ("lumen", 66),
    ):
        system.register(name)
        with system.client(name) as client:
            seconds = 30 if name == "zenith" else 0.5
            requests = [{"type": "occupy", "request": seconds}] * jobs
            client.post("/api/enqueue/batch", json={"requests": requests})
            if name == "zenith":
                wait_for(lambda: all(job["started_at"] for job in client.get("/api/jobs").json()["jobs"]))


def _is_idle(system: System) -> bool:
    with system.client(ADMIN) as client:
        return not client.get("/api/admin/ring").json()["lanes"]


def _race(page: Page) -> None:
    page.get_by_role("button", name="Start the race").click()
    expect(page.get_by_role("button", name="Race again")).to_be_visible(timeout=120_000)


def _open_form(page: Page) -> None:
    """The form that is made of a type's schema."""
    page.keyboard.press("n")
    dialog = page.get_by_role("dialog", name="New request")
    dialog.get_by_label("Type").fill("resize")
    dialog.get_by_label("Picture").fill("cats/1.png")
    dialog.get_by_label("Width").fill("640")


def _hide_the_folder(page: Page) -> None:
    """Leave the folder of this machine out of the paths in the traceback."""
    page.evaluate(
        """folder => {
          const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
          while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replaceAll(folder, "");
        }""",
        f"{IMAGES.parents[1]}/",
    )


def _no_preparation(_page: Page) -> None:
    """Show the view as it opens."""


def _visit(
    browser: Browser,
    system: System,
    user: str,
    views: list[tuple[str, str, Callable[[Page], None]]],
    *,
    viewport: ViewportSize = WIDE,
    dark: bool = False,
) -> None:
    """Log in, and for each view: open this path, prepare it, and write the picture of this name."""
    context = browser.new_context(
        viewport=viewport, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(system.url)
    page.get_by_label("User name").fill(user)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="My queue")).to_be_visible()
    for path, name, prepare in views:
        page.goto(f"{system.url}/ui/{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.wait_for_timeout(2500)  # progress of what runs, and what is loading
        prepare(page)
        page.wait_for_timeout(300)
        _write(page.screenshot(), IMAGES / f"dashboard-{name}.png")
    context.close()


def _write(png: bytes, path: Path) -> None:
    """With few colours: text and flat shapes lose nothing, and the file is a fourth of its size."""
    picture = (
        Image.open(io.BytesIO(png))
        .convert("RGB")
        .quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    )
    picture.save(path, optimize=True)
    print(f"{path.relative_to(IMAGES.parents[1])}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
