"""`make demo`: 20 users send 1,000 real requests to a running system, and every result and every user's order is checked.

    python -m bench.demo [--url http://127.0.0.1:8000] [--users 20] [--requests 1000]

The texts are the source files and documents of this repository, the pictures are drawn here; word counts and thumbnail sizes are
computed a second time, by other means than the handlers', and compared.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import random
import secrets
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from httpx_retries import Retry, RetryTransport
from PIL import Image, ImageDraw
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from laneway.settings import load

ROOT = Path(__file__).parent.parent
MAX_TEXT = 20_000
THUMBNAIL = 48
TOGETHER = 10
PAGE = 100
LIMIT_SECONDS = 300
RETRY = Retry(total=20, allowed_methods=["GET", "POST"], backoff_factor=0.2, max_backoff_wait=2)
"""As a client should: an answer 503 or 429, or none, is asked again, with the same idempotency key."""
_ENDS = {"succeeded", "failed", "cancelled"}


@dataclass(slots=True)
class Sent:
    """A request and what its result must say."""

    type: str
    request: dict[str, Any]
    expected: dict[str, Any]
    job_id: str = ""


@dataclass(slots=True)
class User:
    name: str
    client: httpx.AsyncClient
    sent: list[Sent] = field(default_factory=list)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def texts() -> list[str]:
    files = [
        path
        for pattern in ("*.md", "services/**/*.py", "services/**/*.lua", "docs/**/*.md")
        for path in ROOT.glob(pattern)
    ]
    found = [path.read_text("utf-8", "replace")[:MAX_TEXT] for path in sorted(files)]
    return [text for text in found if text.strip()]


def word_count(text: str) -> dict[str, Any]:
    """As the handler should answer, computed character by character."""
    words, word = [], ""
    for character in [*text, " "]:
        if character.isalnum() or character == "_":
            word += character
        elif word:
            words.append(word.lower())
            word = ""
    return {"words": len(words), "distinct": len(Counter(words))}


def picture(random_: random.Random) -> tuple[str, dict[str, Any]]:
    """A drawing as base64, and the size that its thumbnail must have."""
    width, height = random_.randint(64, 640), random_.randint(64, 640)
    image = Image.new("RGB", (width, height), tuple(random_.randint(0, 255) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        box = (
            sorted(random_.randint(0, width) for _ in range(2)),
            sorted(random_.randint(0, height) for _ in range(2)),
        )
        draw.ellipse(
            (box[0][0], box[1][0], box[0][1], box[1][1]),
            fill=tuple(random_.randint(0, 255) for _ in range(3)),
        )
    out = io.BytesIO()
    image.save(out, "JPEG")
    longer = THUMBNAIL / max(width, height)
    size = {"width": width * longer, "height": height * longer}
    return base64.b64encode(out.getvalue()).decode(), size


def requests_of(number: int, random_: random.Random, corpus: list[str]) -> list[Sent]:
    sent = []
    for index in range(number):
        if index % 4 == 3:
            image, size = picture(random_)
            sent.append(Sent("thumbnail", {"image": image, "size": THUMBNAIL}, size))
        else:
            text = random_.choice(corpus)
            sent.append(Sent("wordcount", {"text": text}, word_count(text)))
    return sent


async def enter(user: User) -> None:
    """Register and log in."""
    account = {"username": user.name, "password": secrets.token_urlsafe(16)}
    (await user.client.post("/api/register", json=account)).raise_for_status()
    answer = (await user.client.post("/api/login", json=account)).raise_for_status().json()
    user.client.headers["Authorization"] = f"Bearer {answer['token']}"


async def send(user: User, progress: Progress, bar: Any) -> None:
    for start in range(0, len(user.sent), TOGETHER):
        piece = user.sent[start : start + TOGETHER]
        body = {"requests": [{"type": one.type, "request": one.request} for one in piece]}
        key = {"Idempotency-Key": secrets.token_hex(16)}
        answer = (
            (await user.client.post("/api/enqueue/batch", json=body, headers=key)).raise_for_status().json()
        )
        for one, job_id in zip(piece, answer["job_ids"], strict=True):
            one.job_id = job_id
        progress.advance(bar, len(piece))


async def wait(user: User, progress: Progress, bar: Any) -> None:
    """Until all of the user's jobs have ended; raises TimeoutError."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        ended = {job_id: job for job_id, job in (await listed(user)).items() if job["state"] in _ENDS}
        progress.advance(bar, len(ended) - len(user.jobs))
        user.jobs = ended
        if len(ended) >= len(user.sent):
            return
        await asyncio.sleep(0.3)
    raise TimeoutError(f"{len(user.sent) - len(user.jobs)} jobs of {user.name} have not ended")


async def listed(user: User) -> dict[str, dict[str, Any]]:
    jobs: dict[str, dict[str, Any]] = {}
    before = None
    while True:
        page = (
            (
                await user.client.get(
                    "/api/jobs", params={"limit": PAGE} | ({"before": before} if before else {})
                )
            )
            .raise_for_status()
            .json()
        )
        jobs |= {job["job_id"]: job for job in page["jobs"]}
        before = page["next"]
        if not before:
            return jobs


def check(user: User) -> None:
    """Every result against our own computation, and the order in which the user's jobs started."""
    for one in user.sent:
        job = user.jobs[one.job_id]
        if job["state"] != "succeeded":
            user.problems.append(f"{one.job_id} {job['state']}: {job['error']}")
        elif one.type == "wordcount":
            got = {name: job["result"][name] for name in one.expected}
            if got != one.expected:
                user.problems.append(f"{one.job_id}: counted {got}, should be {one.expected}")
        else:
            check_thumbnail(user, one, job["result"])
    starts = [user.jobs[one.job_id]["started_at"] for one in user.sent]
    if starts != sorted(starts):
        user.problems.append("jobs started out of order")


def check_thumbnail(user: User, one: Sent, result: dict[str, Any]) -> None:
    image = Image.open(io.BytesIO(base64.b64decode(result["image"])))
    wrong = [name for name in ("width", "height") if abs(getattr(image, name) - one.expected[name]) > 1]
    if image.format != "PNG" or wrong:
        user.problems.append(
            f"{one.job_id}: a {image.format} of {image.size}, should be about {one.expected}"
        )


def summary(users: list[User], seconds: float) -> Table:
    table = Table(
        title=f"{sum(len(user.sent) for user in users):,} requests of {len(users)} users in {seconds:.1f} s"
    )
    for name in (
        "user",
        "requests",
        "succeeded",
        "median wait s",
        "longest wait s",
        "in order, all results right",
    ):
        table.add_column(name, justify="left" if name == "user" else "right")
    for user in users:
        waits = sorted(
            _seconds(job["enqueued_at"], job["started_at"]) for job in user.jobs.values() if job["started_at"]
        )
        good = sum(job["state"] == "succeeded" for job in user.jobs.values())
        verdict = "no: " + user.problems[0] if user.problems else "yes"
        table.add_row(
            user.name,
            str(len(user.sent)),
            str(good),
            f"{waits[len(waits) // 2]:.2f}",
            f"{waits[-1]:.2f}",
            verdict,
        )
    return table


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


async def run(url: str, users: int, requests: int) -> bool:
    random_, corpus = random.Random(1), texts()
    everyone = [
        User(
            f"demo-{secrets.token_hex(4)}",
            httpx.AsyncClient(base_url=url, timeout=60, transport=RetryTransport(retry=RETRY)),
            requests_of(requests // users, random_, corpus),
        )
        for _ in range(users)
    ]
    console = Console()
    columns = (TextColumn("{task.description:<12}"), BarColumn(50), MofNCompleteColumn(), TimeElapsedColumn())
    start = time.monotonic()
    with Progress(*columns, console=console) as progress:
        entered = progress.add_task("log in", total=users)
        sent = progress.add_task("enqueue", total=requests // users * users)
        ended = progress.add_task("process", total=requests // users * users)

        async def one(user: User) -> None:
            await enter(user)
            progress.advance(entered)
            await send(user, progress, sent)
            await wait(user, progress, ended)

        await asyncio.gather(*map(one, everyone))
    seconds = time.monotonic() - start
    for user in everyone:
        check(user)
        await user.client.aclose()
    console.print(summary(everyone, seconds))
    return not any(user.problems for user in everyone)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    settings = load()
    host = "127.0.0.1" if settings.api_host in {"0.0.0.0", "::"} else settings.api_host
    parser.add_argument("--url", default=f"http://{host}:{settings.api_port}")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--requests", type=int, default=1000)
    options = parser.parse_args()
    try:
        httpx.get(f"{options.url}/healthz", timeout=60)  # at once, where all else is patient
        good = asyncio.run(run(options.url, options.users, options.requests))
    except httpx.ConnectError:
        sys.exit(f"nothing answers at {options.url}: start the system first, with `make run`")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
