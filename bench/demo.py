"""`make demo`: 20 users send 1,000 real requests to a running system, and every result and every user's order is checked.

    python -m bench.demo [--url http://127.0.0.1:8000] [--users 20] [--requests 1000]

Before that, two users show how lanes are served: Ann sends many requests, Bob a few after her, and each job that starts is a letter.

The texts are the source files and documents of this repository, and the pictures are drawn here. Word counts and thumbnail sizes are
computed a second time, in another way than in the handlers, and compared.
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
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
from PIL import Image, ImageDraw
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from laneway.client import AsyncClient, JobView
from laneway.settings import load

ROOT = Path(__file__).parent.parent
MAX_TEXT = 20_000
THUMBNAIL_PIXELS = 48
BATCH = 10
LIMIT_SECONDS = 300
POLL_SECONDS = 0.2
ANNS_REQUESTS, BOBS_REQUESTS = 60, 6


@dataclass(slots=True)
class Request:
    """A request and what its result must contain."""

    type: str
    payload: dict[str, Any]
    expected: dict[str, Any]
    job_id: str = ""


@dataclass(slots=True)
class User:
    """A user with everything that was sent and what came back."""

    name: str
    client: AsyncClient
    requests: list[Request]
    jobs: dict[str, JobView] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def texts() -> list[str]:
    """Return the texts of this repository."""
    patterns = ("*.md", "services/**/*.py", "services/**/*.lua", "docs/**/*.md")
    files = sorted(path for pattern in patterns for path in ROOT.glob(pattern))
    found = [path.read_text("utf-8", "replace")[:MAX_TEXT] for path in files]
    return [text for text in found if text.strip()]


def word_count(text: str) -> dict[str, Any]:
    """Count words as the handler must, but character by character."""
    words, word = [], ""
    for character in [*text, " "]:
        if character.isalnum() or character == "_":
            word += character
        elif word:
            words.append(word.lower())
            word = ""
    return {"words": len(words), "distinct": len(Counter(words))}


def picture(source: random.Random) -> tuple[str, dict[str, Any]]:
    """Return a drawing as base64, and the size of its thumbnail."""
    width, height = source.randint(64, 640), source.randint(64, 640)
    image = Image.new("RGB", (width, height), _color(source))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        left, right = sorted(source.randint(0, width) for _ in range(2))
        top, bottom = sorted(source.randint(0, height) for _ in range(2))
        draw.ellipse((left, top, right, bottom), fill=_color(source))
    output = io.BytesIO()
    image.save(output, "JPEG")
    scale = THUMBNAIL_PIXELS / max(width, height)
    size = {"width": width * scale, "height": height * scale}
    return base64.b64encode(output.getvalue()).decode(), size


def _color(source: random.Random) -> tuple[int, ...]:
    return tuple(source.randint(0, 255) for _ in range(3))


def random_requests(count: int, source: random.Random, corpus: list[str]) -> list[Request]:
    """Return requests, three word counts for each thumbnail."""
    return [_thumbnail(source) if index % 4 == 3 else _wordcount(source, corpus) for index in range(count)]


def _thumbnail(source: random.Random) -> Request:
    image, size = picture(source)
    return Request("thumbnail", {"image": image, "size": THUMBNAIL_PIXELS}, size)


def _wordcount(source: random.Random, corpus: list[str]) -> Request:
    text = source.choice(corpus)
    return Request("wordcount", {"text": text}, word_count(text))


@asynccontextmanager
async def new_user(url: str, name: str, requests: list[Request]) -> AsyncIterator[User]:
    """Register a user under a fresh name."""
    name, password = f"{name}-{secrets.token_hex(4)}", secrets.token_urlsafe(16)
    async with AsyncClient(url, username=name, password=password, timeout_seconds=60) as client:
        await client.register(name, password)
        yield User(name, client, requests)


async def send(user: User) -> AsyncIterator[int]:
    """Enqueue all requests of a user in batches, and yield the size of each batch."""
    for start in range(0, len(user.requests), BATCH):
        batch = user.requests[start : start + BATCH]
        pairs = [(request.type, request.payload) for request in batch]
        jobs = [job async for job in user.client.enqueue_many(pairs, key=secrets.token_hex(16))]
        for request, job in zip(batch, jobs, strict=True):
            request.job_id = job.id
        yield len(batch)


async def ended(user: User) -> AsyncIterator[int]:
    """Yield how many more of the user's jobs have ended, until all have. Raises TimeoutError."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while len(user.jobs) < len(user.requests):
            jobs = {job.job_id: job async for job in user.client.jobs() if job.ended}
            yield len(jobs) - len(user.jobs)
            user.jobs = jobs
            await asyncio.sleep(POLL_SECONDS)


def check(user: User) -> None:
    """Compare every result with our own, and the order of starts with the order of requests."""
    for request in user.requests:
        job = user.jobs[request.job_id]
        if job.state != "succeeded":
            user.problems.append(f"{job.job_id} {job.state}: {job.error}")
        elif request.type == "wordcount":
            counted = {name: job.result[name] for name in request.expected}
            if counted != request.expected:
                user.problems.append(f"{job.job_id}: counted {counted}, expected {request.expected}")
        else:
            _check_thumbnail(user, request, job.result)
    starts = [user.jobs[request.job_id].started_at for request in user.requests]
    if starts != sorted(starts, key=str):
        user.problems.append("jobs started out of order")


def _check_thumbnail(user: User, request: Request, result: dict[str, Any]) -> None:
    image = Image.open(io.BytesIO(base64.b64decode(result["image"])))
    wrong = [name for name in ("width", "height") if abs(getattr(image, name) - request.expected[name]) > 1]
    if image.format != "PNG" or wrong:
        user.problems.append(
            f"{request.job_id}: a {image.format} of {image.size}, expected about {request.expected}"
        )


async def interleave(url: str, console: Console) -> bool:
    """Let Ann fill her lane before Bob sends his requests, and print the order in which their jobs start."""
    source = random.Random(2)
    async with (
        new_user(url, "ann", [_thumbnail(source) for _ in range(ANNS_REQUESTS)]) as ann,
        new_user(url, "bob", [_thumbnail(source) for _ in range(BOBS_REQUESTS)]) as bob,
    ):
        for user in (ann, bob):
            async for _ in send(user):
                pass
        for user in (ann, bob):
            async for _ in ended(user):
                pass
            check(user)
        console.print(
            f"ann enqueues {ANNS_REQUESTS} requests, then bob {BOBS_REQUESTS}. Their jobs start in this order:"
        )
        console.print(f"  {starts(ann, bob)}", highlight=False)
        return _report(console, [ann, bob])


def starts(*users: User) -> str:
    """Return the first letter of each job's user, in the order in which the jobs started."""
    started = sorted((str(job.started_at), user.name[0]) for user in users for job in user.jobs.values())
    return "".join(letter for _, letter in started)


async def crowd(url: str, users: int, requests: int, console: Console) -> bool:
    """Let many users send requests at the same time, and check everything."""
    source, corpus = random.Random(1), texts()
    total = requests // users * users
    columns = (TextColumn("{task.description:<12}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
    begun = time.monotonic()
    async with AsyncExitStack() as stack:
        contexts = [
            new_user(url, "demo", random_requests(requests // users, source, corpus)) for _ in range(users)
        ]
        everyone = await asyncio.gather(*map(stack.enter_async_context, contexts))
        with Progress(*columns, console=console) as progress:
            sending = progress.add_task("enqueue", total=total)
            processing = progress.add_task("process", total=total)
            await asyncio.gather(*(_serve(user, progress, sending, processing) for user in everyone))
    console.print(f"{total:,} requests of {users} users in {time.monotonic() - begun:.1f} s")
    for user in everyone:
        check(user)
    return _report(console, everyone)


async def _serve(user: User, progress: Progress, sending: TaskID, processing: TaskID) -> None:
    async for count in send(user):
        progress.advance(sending, count)
    async for count in ended(user):
        progress.advance(processing, count)


def _report(console: Console, users: Sequence[User]) -> bool:
    """Print what was checked, and return whether all of it was right."""
    jobs = [job for user in users for job in user.jobs.values()]
    problems = [f"{user.name}: {problem}" for user in users for problem in user.problems]
    waits = [(job.started_at - job.enqueued_at).total_seconds() for job in jobs if job.started_at]
    console.print(
        f"  {sum(job.state == 'succeeded' for job in jobs):,} of {len(jobs):,} succeeded, results and order "
        f"{'WRONG' if problems else 'right'}; wait until start: median {median(waits):.2f} s, longest {max(waits):.2f} s"
    )
    for problem in problems[:10]:
        console.print(f"  {problem}", style="red", markup=False)
    return not problems


async def run(url: str, users: int, requests: int, console: Console) -> bool:
    """Run both parts."""
    return all([await interleave(url, console), await crowd(url, users, requests, console)])


def main() -> None:
    """Run with the options on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    settings = load()
    host = "127.0.0.1" if settings.api_host in {"0.0.0.0", "::"} else settings.api_host
    parser.add_argument("--url", default=f"http://{host}:{settings.api_port}")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--requests", type=int, default=1000)
    options = parser.parse_args()
    try:
        httpx2.get(f"{options.url}/healthz", timeout=60)  # fails at once where the client would try again
    except httpx2.ConnectError:
        sys.exit(f"nothing answers at {options.url}: start the system first, with `make run`")
    good = asyncio.run(run(options.url, options.users, options.requests, Console(width=120, highlight=False)))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
