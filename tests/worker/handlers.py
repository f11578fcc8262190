"""Handlers that note what they start and end, and handlers that misbehave. Named in LANEWAY_HANDLERS by these tests."""

from __future__ import annotations

import ast
import asyncio
import ctypes
import decimal
import json
import logging
import multiprocessing
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from pathlib import Path
from threading import Thread
from typing import Any, NoReturn

import structlog

from laneway import Cancelled, Context, Permanent, SoftTimeLimit, handler, on_process_start
from laneway.lanes import scripts
from tests.worker.notes import FOLDER, note

GIL_SECONDS = 30
"""The longest that a handler here may hold the interpreter, should nothing stop it."""


def _count_run(context: Context) -> int:
    """Return the number of this run, from 1. Runs that were lost are no attempts, so that `context.attempt` does not say it."""
    with (Path(os.environ[FOLDER]) / f"{context.job_id}.runs").open("ab") as runs:
        runs.write(b".")
        runs.flush()
        return os.fstat(runs.fileno()).st_size


@contextmanager
def noted(payload: Any, context: Context) -> Iterator[int]:
    """Note the start, and the end by its outcome. Yields the number of this run. `tag` of the payload tells jobs apart."""
    began_ns = time.monotonic_ns()  # first: the rest takes a while, in which other handlers begin
    number = _count_run(context)
    fields: dict[str, Any] = {
        "job_id": context.job_id,
        "user": context.user,
        "attempt": context.attempt,
        "number": number,
    }
    if isinstance(payload, dict) and "tag" in payload:
        fields["tag"] = payload["tag"]
    note("start", at_ns=began_ns, **fields)
    outcome = "raised"
    try:
        yield number
        outcome = "returned"
    except (asyncio.CancelledError, Cancelled):
        outcome = "cancelled"
        raise
    except SoftTimeLimit:
        outcome = "soft"
        raise
    finally:
        note("end", outcome=outcome, **fields)


def _wait_for_gate(payload: Any) -> None:
    """Until the test makes the file."""
    gate = Path(os.environ[FOLDER]) / f"{payload['gate']}.gate"
    while not gate.exists():
        time.sleep(0.005)


# -- ordinary ones ----------------------------------------------------------------------------------------------------


@handler("noop")
def noop(payload: Any) -> Any:
    """Nothing, and so fast that it is served in large batches."""
    return payload


@handler("work")
def work(payload: Any, context: Context) -> dict[str, Any]:
    """Keep the process for `ms`; fail the first `fails` attempts."""
    with noted(payload, context):
        time.sleep(payload.get("ms", 0) / 1000)
        if context.attempt <= payload.get("fails", 0):
            raise RuntimeError(f"attempt {context.attempt} fails, as it was asked to")
    return {"attempt": context.attempt}


@handler("light")
def light(payload: Any, context: Context) -> None:
    """As `work`, and not even noted when it has nothing to do. In its first run it may hold the GIL, for `gil` seconds or until the
    test opens `pipe`, or `harm` its process."""
    if "pipe" in payload:
        with noted(payload, context) as number:
            if number == 1:
                _hold_until_opened(payload["pipe"])
    elif "gil" in payload:
        with noted(payload, context) as number:
            if number == 1:
                _hold_with_c(payload["gil"])
    elif "harm" in payload:
        with noted(payload, context) as number:
            if number == 1:
                _harm(payload["harm"])
    elif payload["ms"]:
        work(payload, context)


@handler("quick", backoff=0)
def quick(payload: Any, context: Context) -> dict[str, Any]:
    """As `work`, retried without a pause."""
    return work(payload, context)


@handler("slowretry", backoff=60)
def slowretry(payload: Any, context: Context) -> dict[str, Any]:
    """As `work`, retried after a long pause."""
    return work(payload, context)


@handler("wait")
async def wait(payload: Any, context: Context) -> dict[str, Any]:
    """Wait for `ms` beside others; fail the first `fails` attempts."""
    with noted(payload, context):
        await asyncio.sleep(payload.get("ms", 0) / 1000)
        if context.attempt <= payload.get("fails", 0):
            raise RuntimeError(f"attempt {context.attempt} fails, as it was asked to")
    return {"attempt": context.attempt}


@handler("again", backoff=0)
async def again(payload: Any, context: Context) -> dict[str, Any]:
    """As `wait`, retried without a pause."""
    return await wait(payload, context)


@handler("gated")
def gated(payload: Any, context: Context) -> None:
    """Keep the process until the test opens the `gate`, in the first `times` runs (all, if it is not given)."""
    with noted(payload, context) as number:
        if number <= payload.get("times", 1000):
            _wait_for_gate(payload)


@handler("queuer")
async def queuer(payload: Any, context: Context) -> None:
    """As `gated`, beside others; may `ignore` being cancelled."""
    gate = Path(os.environ[FOLDER]) / f"{payload['gate']}.gate"
    with noted(payload, context) as number:
        while number <= payload.get("times", 1000) and not gate.exists():
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                note("swallowed", job_id=context.job_id, user=context.user)
                if not payload.get("ignore"):
                    raise


_DICE = random.Random()
_SECRET: ContextVar[str] = ContextVar("secret", default="nothing")


@handler("leaves", attempts=1)
def leaves(payload: Any) -> dict[str, Any]:
    """Say what the job before has left in this process, leave something for the next one, and roll the dice."""
    decimal_context = decimal.getcontext()
    found = {
        "variable": _SECRET.get(),
        "precision": decimal_context.prec,
        "logged": structlog.contextvars.get_contextvars(),
        "dice": [_DICE.random(), random.random()],
        "predicted": random.Random(payload).random(),
        "pid": os.getpid(),
    }
    _SECRET.set(payload)
    decimal_context.prec = 3
    random.seed(payload)
    structlog.contextvars.bind_contextvars(user=payload)
    time.sleep(0.02)
    return found


@handler("leavesasync", attempts=1)
async def leavesasync(payload: Any) -> dict[str, Any]:
    """As `leaves`, in a task."""
    return leaves(payload)


# -- progress, cancellation, errors -----------------------------------------------------------------------------------


@handler("report")
def report(payload: Any, context: Context) -> None:
    """Report what a file says, as soon as it is there; then wait for the gate."""
    file = Path(os.environ[FOLDER]) / f"{context.job_id}.reports"
    while not file.exists() or not (text := file.read_text()):
        time.sleep(0.005)
    for percent, about in ast.literal_eval(text):
        context.progress(percent, about)
    with noted(payload, context):
        _wait_for_gate(payload)


@handler("obedient")
def obedient(payload: Any, context: Context) -> str:
    """Run until it is asked to stop; then return, or raise what `how` says."""
    with noted(payload, context):
        while not context.cancelled():
            time.sleep(0.01)
        if payload.get("how") == "raise":
            raise Cancelled
    return "stopped"


@handler("tidy")
async def tidy(payload: Any, context: Context) -> None:
    """Wait for ever; when it is cancelled, tidy up for `ms` and note that this was begun and done."""
    with noted(payload, context):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            note("tidying", job_id=context.job_id, user=context.user)
            await asyncio.sleep(payload["ms"] / 1000)
            note("tidied", job_id=context.job_id, user=context.user)
            raise


@handler("permanent")
def permanent(payload: Any, context: Context) -> NoReturn:
    with noted(payload, context):
        raise Permanent("no use \ud800 in trying")


class _NoTextError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class _ExitTextError(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


_RAISES: dict[str, Any] = {
    "exit": lambda: sys.exit(3),
    "interrupt": KeyboardInterrupt,
    "generator": GeneratorExit,
    "cancelled": asyncio.CancelledError,
    "no text": _NoTextError,
    "exit in text": _ExitTextError,
    "surrogates": lambda: ValueError("half a pair: \udcff"),
    "bytes": lambda: ValueError(b"\xff\xfe"),
    "long": lambda: ValueError("x" * 1_000_000),
}
_RETURNS: dict[str, Any] = {
    "set": lambda: {1, 2},
    "object": object,
    "surrogates": lambda: "half a pair: \udcff",
    "deep": lambda: _deep(),  # noqa: PLW0108 - defined below
    "keys": lambda: {1: 2},
    "huge int": lambda: 1 << 70,
    "large": lambda: "x" * 2_000_000,
    "nothing": lambda: None,
    "nan": lambda: float("nan"),
}


def _deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


def _misbehave(payload: Any) -> Any:
    if "raise" in payload:
        error = _RAISES[payload["raise"]]()
        raise error
    return _RETURNS[payload["return"]]()


@handler("odd", attempts=1)
def odd(payload: Any) -> Any:
    """Raise or return something odd."""
    return _misbehave(payload)


@handler("oddasync", attempts=1)
async def oddasync(payload: Any) -> Any:
    """As `odd`, after a wait."""
    await asyncio.sleep(0)
    return _misbehave(payload)


@handler("oddchild", attempts=1)
async def oddchild(payload: Any) -> Any:
    """As `odd`, in a task of its own that takes the event loop down with it."""

    async def child() -> Any:
        return _misbehave(payload)

    return await asyncio.create_task(child())


@handler("loopstop")
async def loopstop(payload: Any) -> str:
    """Stop the event loop that it runs in."""
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)
    return "went on"


# -- limits -----------------------------------------------------------------------------------------------------------

_CATASTROPHE = re.compile(r"(a|aa)+$")


def _hold_the_interpreter(seconds: float) -> None:
    """One regular expression, during which no other thread of this process runs a line of Python."""
    length, took = 20, 0.0
    while took < seconds / 3:  # the time that it takes grows by the golden ratio with each letter
        length += 1
        began = time.monotonic()
        _CATASTROPHE.match("a" * length + "b")
        took = time.monotonic() - began
    while took < seconds:
        length += 1
        took *= 1.618
    _CATASTROPHE.match("a" * length + "b")


@handler("gil", attempts=2)
def gil(payload: Any, context: Context) -> None:
    """Hold the interpreter for at least `seconds`."""
    with noted(payload, context):
        _hold_with_c(payload["seconds"]) if payload.get("c") else _hold_the_interpreter(payload["seconds"])


def _hold_with_c(seconds: float) -> None:
    """In C, in a call that keeps the lock (PyDLL): not even a signal handler runs."""
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))


def _hold_until_opened(name: str) -> None:
    """As `_hold_with_c`: to open a pipe for reading waits until somebody opens it for writing."""
    pipe = ctypes.PyDLL(None).open(os.fsencode(Path(os.environ[FOLDER]) / name), os.O_RDONLY)
    assert pipe >= 0
    os.close(pipe)


@handler("soft", attempts=2, soft_time_limit=0.3, backoff=0)
def soft(payload: Any, context: Context) -> str:
    """Sleep past the soft limit; with `keep`, return what it has."""
    with noted(payload, context):
        try:
            time.sleep(payload.get("seconds", GIL_SECONDS))
        except SoftTimeLimit:
            if payload.get("keep"):
                return "what it had"
            raise
    return "in time"


@handler("softasync", attempts=2, soft_time_limit=0.3, backoff=0)
async def softasync(payload: Any, context: Context) -> str:
    """As `soft`: it is cancelled."""
    with noted(payload, context):
        try:
            await asyncio.sleep(payload.get("seconds", GIL_SECONDS))
        except asyncio.CancelledError:
            if payload.get("keep"):
                return "what it had"
            raise
    return "in time"


@handler("boundless", attempts=1, soft_time_limit=0, time_limit=0)
async def boundless(_payload: Any) -> None:
    """Wait a moment, without a limit whatever the settings say."""
    await asyncio.sleep(0.05)


@handler("hard", attempts=2, time_limit=0.5, backoff=0)
def hard(payload: Any, context: Context) -> str:
    """Do not end, in the first `times` runs: asleep, or while it holds the GIL (`gil`)."""
    with noted(payload, context) as number:
        while number <= payload.get("times", 1000):
            try:
                _hold_with_c(GIL_SECONDS) if payload.get("gil") else time.sleep(GIL_SECONDS)
            except BaseException:  # noqa: S112, BLE001 - it ignores whatever is meant to end it
                continue
    return "in time"


@handler("hardasync", attempts=2, time_limit=0.5, backoff=0)
async def hardasync(payload: Any, context: Context) -> str:
    """As `hard`; with `swallow`, ignore being cancelled."""
    with noted(payload, context) as number:
        while number <= payload.get("times", 1000):
            try:
                await asyncio.sleep(GIL_SECONDS)
            except asyncio.CancelledError:
                if not payload.get("swallow"):
                    raise
    return "in time"


@handler("bulky", attempts=2, time_limit=2, backoff=0)
def bulky(payload: Any, context: Context) -> str:
    """Take so much memory that the process takes a while to die, and do not end. The second attempt says how the first one's process does."""
    first = Path(os.environ[FOLDER]) / f"{context.job_id}.pid"
    if context.attempt == 1:
        first.write_text(str(os.getpid()))
        hoard = bytearray(payload["bytes"])
        hoard[::4096] = b"x" * len(hoard[::4096])  # each page is really there
        time.sleep(GIL_SECONDS)
    try:
        return Path(f"/proc/{first.read_text()}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "gone"


# -- what harms the process -------------------------------------------------------------------------------------------


@handler("harm", backoff=0)
def harm(payload: Any, context: Context) -> str:
    """Do one of these in the first `times` runs: see the code."""
    with noted(payload, context) as number:
        if number <= payload.get("times", 1000):
            _harm(payload)
    return "unharmed"


def _harm(payload: Any) -> None:
    match payload["how"]:
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segv":
            os.kill(os.getpid(), signal.SIGSEGV)
            time.sleep(GIL_SECONDS)  # the main thread gets the signal, perhaps after this thread has gone on
        case "memory":  # as the kernel does it when a process has more than its share
            _take_memory()
        case "pod":  # as when a container is out of memory, or its node is lost
            supervisor = _parent(os.getppid())
            for pid in (supervisor, *_children(supervisor), os.getpid()):
                os.kill(pid, signal.SIGKILL)
        case "fork":
            os.fork()  # and both return
        case "fork and raise":
            if os.fork() == 0:
                sys.exit(0)
        case "close":
            os.closerange(3, 65536)
        case "signals":
            for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD):
                signal.signal(number, signal.SIG_IGN)
        case "alarm":
            signal.setitimer(signal.ITIMER_REAL, 0.05)  # and it is not waited for
        case "alarm of its own":
            signal.signal(signal.SIGALRM, _too_late)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
        case "stop" if os.getppid() in payload["pids"]:  # in this worker, and in no other
            for pid in payload["pids"]:
                os.kill(pid, signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
        case "stop":
            return
        case how:
            raise Permanent(f"no such harm: {how}")


def _take_memory() -> None:
    """Take memory without end. A limit stands for the kernel's killer: an allocation in C that fails ends the process."""
    resource.setrlimit(resource.RLIMIT_AS, (512 << 20, resource.RLIM_INFINITY))
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    while libc.malloc(ctypes.c_size_t(16 << 20)):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def _too_late(*_: object) -> NoReturn:
    raise TimeoutError("the handler has long returned")


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@handler("harmatonce", backoff=0)
async def harmatonce(payload: Any) -> None:
    """As `harm`, in the event loop, before anything else can happen there."""
    _harm(payload)


@handler("harmasync", backoff=0)
async def harmasync(payload: Any, context: Context) -> str:
    """As `harm`, in the event loop."""
    with noted(payload, context) as number:
        await asyncio.sleep(0.01)
        if number <= payload.get("times", 1000):
            _harm(payload)
    return "unharmed"


# -- children ---------------------------------------------------------------------------------------------------------


def square(number: int) -> int:
    """Run in a child: at the top level of a module, so that it can be pickled."""
    return number * number


@handler("parallel", attempts=1)
def parallel(payload: Any) -> list[Any]:
    """Use `multiprocessing` as any program would, by the start method that the payload names."""
    context: Any = multiprocessing.get_context(payload)
    process = context.Process(target=square, args=(2,))
    process.start()
    process.join()
    with context.Pool(1) as pool:
        pooled = pool.map(square, [1, 2, 3])
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        executed = list(executor.map(square, [1, 2, 3]))
    with context.Manager() as manager:
        shared = manager.dict()
        shared["a"] = 1
        return [process.exitcode, pooled, executed, dict(shared)]


@handler("parallelasync", attempts=1)
async def parallelasync(payload: Any) -> list[Any]:
    """As `parallel`, in the event loop."""
    return parallel(payload)


_DAEMON = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(1000)\n    os._exit(0)"


@handler("leavechildren", attempts=1, time_limit=2)
def leavechildren(payload: Any) -> None:
    """Leave a subprocess and a daemon running; then run into the time limit, or return, as the payload says."""
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
    subprocess.run([sys.executable, "-c", _DAEMON], check=True)
    if payload == "overrun":
        time.sleep(GIL_SECONDS)


# -- temporary files, the working folder ------------------------------------------------------------------------------


def _litter(payload: Any) -> dict[str, Any]:
    """Leave temporary files as libraries and subprocesses do, and say where; then do as the payload says."""
    descriptor, name = tempfile.mkstemp()
    os.write(descriptor, b"x" * 1000)
    os.close(descriptor)
    Path(tempfile.mkdtemp(), "inside").touch()
    made = subprocess.run(["mktemp"], check=True, capture_output=True, text=True).stdout.strip()
    found: dict[str, Any] = {
        "folder": tempfile.gettempdir(),
        "file": name,
        "by subprocess": made,
        "pid": os.getpid(),
    }
    note("littered", user=payload["user"], **found)
    if payload.get("how") == "overrun":
        time.sleep(GIL_SECONDS)
    return found


@handler("litter", attempts=1, time_limit=1)
def litter(payload: Any) -> dict[str, Any]:
    """As `_litter`."""
    return _litter(payload)


@handler("litterasync", attempts=1)
async def litterasync(payload: Any) -> dict[str, Any]:
    """As `_litter`, beside others."""
    found = _litter(payload)
    await asyncio.sleep(0.05)
    found["is still there"] = os.path.exists(found["file"])  # noqa: ASYNC240, PTH110 - quick
    found["in a thread"] = await asyncio.to_thread(tempfile.gettempdir)
    return found


@handler("wander", attempts=1)
def wander(payload: Any) -> list[Any]:
    """Say where it is, and with which umask; leave the working folder for one that it removes."""
    umask = os.umask(0o077)
    found = [str(Path.cwd()), umask]
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    Path(folder).rmdir()
    return found


# -- what wears a process out -----------------------------------------------------------------------------------------

_LEAKED: list[Any] = []
_AT_START: set[str] = set()


@on_process_start
def _remember_modules() -> None:
    _AT_START.update(sys.modules, _scripts())


def _scripts() -> set[str]:
    """Return how many scripts have been read, as a set to compare."""
    return {f"{scripts.load.cache_info().currsize} scripts"}


@handler("imported", attempts=1)
def imported(_payload: Any) -> list[str]:
    """Return the modules that this process has imported since it was forked, and whether it has read scripts."""
    return sorted((set(sys.modules) | _scripts()) - _AT_START)


@handler("leak", attempts=1)
def leak(payload: Any) -> int:
    """Leak what the payload names, and return the process id; with a `gate`, wait for it before."""
    match payload["what"]:
        case "descriptors":
            while True:
                try:
                    _LEAKED.append(os.dup(0))
                except OSError:
                    break
        case "memory":
            _LEAKED.append(b"x" * payload["bytes"])
    if "gate" in payload:
        _wait_for_gate(payload)
    return os.getpid()


# -- output -----------------------------------------------------------------------------------------------------------


@handler("prints", attempts=1)
def prints(payload: Any, context: Context) -> None:
    """Print as the payload says, with its mark; then die if it says so, and print nothing when run again."""
    if _count_run(context) > 1:
        return
    mark = payload["mark"]
    match payload["how"]:
        case "half a line":
            print("half a line of", mark, end="")
        case "by descriptor":
            os.write(1, b"\x1b[2J\xff" + mark.encode())
            os.write(2, b"an error of " + mark.encode() + b"\n")
        case "by subprocess":
            subprocess.run(
                ["sh", "-c", f"printf {mark}; printf {mark} >&2; echo; echo >/dev/stdout"], check=True
            )
        case "10 MB":
            print(mark + "é\0" * 2_500_000 + mark)
        case "a forged line":
            fields = {"ts": "now", "level": "info", "event": "succeeded", "job_id": "forged", "mark": mark}
            print(json.dumps(fields, separators=(",", ":")))
    if payload.get("dies"):
        os.kill(os.getpid(), signal.SIGKILL)


# -- logs of jobs -----------------------------------------------------------------------------------------------------


@handler("logs", attempts=2, backoff=0)
def logs(payload: Any, context: Context) -> None:
    """Print and log as the payload says."""
    mark = payload.get("mark", "")
    match payload["how"]:
        case "every way":
            print("printed", end=" ")
            print("in pieces")
            print("to stderr", file=sys.stderr)
            logging.getLogger("some.library").warning("logged %d", 1)
            logging.getLogger("some.library").debug("not logged")
            structlog.get_logger().error("event_happened", size=3)
            context.log("said", width=100)
            print("\r10 %\r20 %\r", end="")
            print("no line feed", end="")
        case "odd":
            print("surrogate \udce9, escape \x1b[2J, tab \t.")
            print("x" * 3000)
            print("y" * 10_000_000, end="")
            logging.getLogger().info("does not fit %d", "text")
            try:
                raise ValueError(mark)
            except ValueError:
                logging.getLogger().exception("it failed")
        case "threads":
            thread = Thread(target=print, args=(f"from a thread of {mark}",))
            thread.start()
            thread.join()  # else the next text could come between this one and its line feed
            thread = Thread(target=context.log, args=("said in a thread",))
            thread.start()
            thread.join()
            thread = Thread(target=copy_context().run, args=(print, "in a copy of the context"))
            thread.start()
            thread.join()
        case "many":
            for number in range(1, 100_001):
                print("line", number)
        case "big":
            for number in range(1, 1001):
                print(f"{number} " + "z" * 990)
        case "fails once":
            print(f"{mark}, attempt {context.attempt}")
            if context.attempt == 1:
                raise RuntimeError
        case "gated":
            print("before", mark)
            _wait_for_gate(payload)
            print("after", mark)
        case "dies":
            if _count_run(context) == 1:
                print("last words of", mark)
                _wait_for_gate(payload)
                os.kill(os.getpid(), signal.SIGKILL)


@handler("stuck", backoff=0, time_limit=1)
def stuck(payload: Any) -> None:
    """Print, and run into the time limit."""
    print("stuck in", payload["mark"])
    time.sleep(GIL_SECONDS)


_left: set[asyncio.Task[None]] = set()


@handler("overlaps")
async def overlaps(payload: Any, context: Context) -> None:
    """Print beside others, from tasks and threads of its own, and leave a task behind that prints later."""
    mark = payload["mark"]
    for number in range(10):
        print(mark, number, end="")
        await asyncio.sleep(0.001)
        print()
        await asyncio.to_thread(print, mark, "in a thread")
    context.progress(50)
    await asyncio.gather(*(_say(mark) for _ in range(3)))
    _left.add(asyncio.create_task(_say(mark + " late", 0.3)))


@handler("raises")
async def raises(payload: Any) -> None:
    """Fail beside others, some calls below the handler."""
    await asyncio.sleep(0.01)
    await _fail(payload["mark"])


async def _fail(mark: str) -> None:
    await asyncio.sleep(0)
    try:
        raise KeyError(mark)
    except KeyError as error:
        raise ValueError(mark) from error


async def _say(text: str, seconds: float = 0.001) -> None:
    await asyncio.sleep(seconds)
    print(text)
