"""The handler loader: what it accepts, and how it refuses what would fail later."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from laneway.handlers.errors import HandlerError
from laneway.handlers.limits import TypeLimits
from laneway.handlers.loader import load, load_configured
from laneway.handlers.registry import Defaults, run_hook

Write = Callable[[str, str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a module into a folder on the import path and return its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, text: str) -> str:
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("from laneway import Context, handler, on_process_start, on_process_stop\n" + text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return write


def refusal(*modules: str) -> str:
    with pytest.raises(HandlerError) as caught:
        load(modules)
    return str(caught.value)


def test_options_of_a_handler_win_over_the_defaults(write: Write) -> None:
    name = write(
        "tasks",
        """
@handler
def plain(payload): ...

@handler("other", attempts=7, backoff=0, soft_time_limit=2, time_limit=0)
async def asynchronous(payload, context): ...
""",
    )
    types = load([name], defaults=Defaults(4, 2, 60, 30)).types
    plain, other = types["plain"], types["other"]
    assert (plain.is_async, plain.wants_context, plain.max_attempts) == (False, False, 4)
    assert (plain.backoff_seconds, plain.soft_seconds, plain.hard_seconds) == (2, None, 30)
    assert (other.is_async, other.wants_context, other.max_attempts) == (True, True, 7)
    assert (other.backoff_seconds, other.soft_seconds, other.hard_seconds) == (0, 2, None)


def test_a_users_package_may_be_called_services(write: Write) -> None:
    name = write("services.video.tasks", "@handler\ndef resize(payload): return __name__\n")
    assert load([name]).types["resize"].function(None) == "services.video.tasks"


def test_proxies_in_a_module_are_not_asked_for_anything(write: Write) -> None:
    name = write(
        "proxies",
        """
from unittest.mock import MagicMock

class Proxy:
    def __getattr__(self, name): raise RuntimeError("no application context")
    __class__ = property(lambda self: 1 / 0)

current_app, anything = Proxy(), MagicMock()

@handler
def work(payload): ...
""",
    )
    assert list(load([name]).types) == ["work"]


def test_a_handler_with_several_names_counts_once(write: Write) -> None:
    """Two names in a module, exported by another module, and a module that is listed twice."""
    first = write("first", "@handler\ndef work(payload): ...\nalias = work\n")
    second = write("second", "from first import work\n@handler\ndef more(payload): ...\n")
    assert set(load([first, second, first]).types) == {"work", "more"}


def test_a_function_named_setup_is_like_any_other(write: Write) -> None:
    name = write("with_setup", "def setup(): raise RuntimeError\n@handler\ndef work(payload): ...\n")
    assert list(load([name]).types) == ["work"]
    name = write("is_setup", "@handler\ndef setup(payload): ...\n")
    assert list(load([name]).types) == ["setup"]


def test_a_decorated_async_function_is_async(write: Write) -> None:
    name = write(
        "decorated",
        """
import functools

def timed(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper

@handler
@timed
async def work(payload, context): return payload + 1
""",
    )
    spec = load([name]).types["work"]
    assert spec.is_async
    assert spec.wants_context
    assert asyncio.run(spec.function(1, None)) == 2


def test_start_hooks_run_in_order_plain_and_async(write: Write) -> None:
    name = write(
        "hooks",
        """
ran = []

@on_process_start
def connect(): ran.append("plain")

@on_process_start
async def open_session(): ran.append("async")

again = connect

@handler
def work(payload): ...
""",
    )
    for hook in load([name]).start_hooks:
        run_hook(hook, asyncio.run)
    assert sys.modules[name].ran == ["plain", "async"]


def test_annotations_make_schemas_and_docstrings_descriptions(write: Write) -> None:
    name = write(
        "typed",
        """
from typing import Any
from pydantic import BaseModel

class Job(BaseModel):
    n: int

@handler
def typed(job: Job, context: Context) -> list[int]:
    \'\'\'Count.

    To n.
    \'\'\'

@handler
def open(payload: Any) -> Any: ...

@handler
async def bare(payload): ...

@handler
def collects(*args: int): ...
""",
    )
    types = load([name]).types
    typed = types["typed"]
    assert typed.payload(b'{"n":3}').n == 3
    assert typed.result([1]) == [1]
    assert typed.description == "Count.\n\nTo n."
    for spec in (types["open"], types["bare"], types["collects"]):
        assert (spec.takes, spec.gives, spec.description) == (None, None, "")
        assert spec.payload(b"[1]") == [1]
        assert spec.result(spec) is spec


def test_what_only_workers_have_is_imported_late(write: Write) -> None:
    """So that the API knows the type without it."""
    name = write(
        "heavy",
        """
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import no_such_torch

@on_process_start
def load() -> None:
    import no_such_torch

@handler
def infer(payload: dict[str, str], context: "Context", model: "no_such_torch.Model" = None) -> list[float]:
    import no_such_torch
""",
    )
    infer = load([name]).types["infer"]
    assert infer.takes
    assert infer.takes.json_schema["type"] == "object"
    with pytest.raises(ModuleNotFoundError):
        infer.function({}, None)


def test_an_import_that_the_api_lacks_is_refused_with_the_remedy(write: Write) -> None:
    message = refusal(write("eager", "import no_such_torch\n@handler\ndef infer(payload): ...\n"))
    assert "inside the handler" in message
    assert "eager.py:2" in message


@pytest.mark.parametrize(
    ("annotation", "what"),
    [
        ("job: 'Unknown'", ("the payload's annotation 'Unknown' cannot be evaluated", "top of the module")),
        ("job: Plain", ("cannot be checked", "pydantic model")),
        ("job: 'list[Plain]'", ("cannot be checked", "pydantic model")),
        ("job) -> (Plain", ("the result's annotation", "cannot be checked")),
        ("job: 'Callable[[], int]'", ("cannot be checked", "Any")),
    ],
)
def test_an_annotation_that_says_nothing_about_json_is_refused(
    write: Write, annotation: str, what: tuple[str, str]
) -> None:
    text = f"class Plain: ...\nfrom typing import Callable\n@handler\ndef f({annotation}): ...\n"
    message = refusal(write("odd", text))
    assert "odd.py:4" in message
    assert "'f'" in message
    for part in what:
        assert part in message


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("@handler('a\\nb')\ndef f(payload): ...", "printable"),
        ("@handler('')\ndef f(payload): ...", "printable"),
        ("@handler('x' * 256)\ndef f(payload): ...", "255 bytes"),
        ("@handler(7)\ndef f(payload): ...", "printable"),
        ("@handler('@webhook')\ndef f(payload): ...", "Laneway's own"),
        ("@handler(attempts=0)\ndef f(payload): ...", "attempts=0"),
        ("@handler(attempts=-1)\ndef f(payload): ...", "attempts=-1"),
        ("@handler(attempts=1.5)\ndef f(payload): ...", "attempts=1.5"),
        ("@handler(backoff=-1)\ndef f(payload): ...", "backoff"),
        ("@handler(backoff='2')\ndef f(payload): ...", "backoff"),
        ("@handler(soft_time_limit=-0.1)\ndef f(payload): ...", "soft_time_limit"),
        ("@handler(time_limit=float('nan'))\ndef f(payload): ...", "time_limit"),
        ("@handler(time_limit=float('inf'))\ndef f(payload): ...", "time_limit"),
        ("@handler(max_running=0)\ndef f(payload): ...", "max_running=0; give a whole number from 1 to 1000"),
        ("@handler(max_running=1001)\ndef f(payload): ...", "max_running=1001"),
        ("@handler(max_running='3')\ndef f(payload): ...", "max_running='3'"),
        ("@handler(max_running=True)\ndef f(payload): ...", "max_running=True"),
        ("@handler(rate='10')\ndef f(payload): ...", "rate='10'; give a number of starts from 1 to 10000"),
        ("@handler(rate='0/s')\ndef f(payload): ...", "rate='0/s'"),
        ("@handler(rate='10001/h')\ndef f(payload): ...", "rate='10001/h'"),
        ("@handler(rate='1.5/s')\ndef f(payload): ...", "rate='1.5/s'"),
        ("@handler(rate=10)\ndef f(payload): ...", "rate=10; give"),
        ("@handler\ndef f(): ...", "takes no payload"),
        ("@handler\ndef f(*, payload): ...", "takes no payload"),
        ("@handler('t')\ndef f(payload): ...\n@handler('t')\ndef g(payload): ...", "two handlers"),
        ("@on_process_start\ndef h(folder): ...\n@handler\ndef f(payload): ...", "no arguments"),
        ("@on_process_stop\ndef h(folder): ...\n@handler\ndef f(payload): ...", "no arguments"),
    ],
)
def test_a_handler_that_would_fail_later_is_refused_with_its_line(write: Write, text: str, what: str) -> None:
    name = write("wrong", text)
    message = refusal(name)
    assert what in message
    assert "wrong.py:2" in message


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("x = 1\nraise RuntimeError('no licence')", ("RuntimeError: no licence", "broken.py:3")),
        ("import no_such_library", ("No module named 'no_such_library'", "broken.py:2")),
        ("import json\njson.loads('{')", ("JSONDecodeError", "broken.py:3")),
        ("def f(:\n", ("SyntaxError", "broken.py:2")),
        ("raise SystemExit(0)", ("SystemExit: 0", "broken.py:2")),
        ("", ("marks no handler", "@handler")),
    ],
)
def test_a_broken_module_is_refused_with_its_line(write: Write, text: str, what: tuple[str, str]) -> None:
    message = refusal(write("broken", text))
    assert "'broken'" in message
    for part in what:
        assert part in message


@pytest.mark.parametrize("name", ["no_such_module", "no_such_package.tasks", "json.no_such_part"])
def test_a_missing_module_is_refused_with_the_remedy(name: str) -> None:
    message = refusal(name)
    assert f"{name!r}" in message
    assert "start in the folder that holds it, or install it" in message


def settings(**changed: Any) -> Any:
    values: dict[str, Any] = {
        "max_attempts": 3,
        "backoff_seconds": 1.0,
        "backoff_max_seconds": 300.0,
        "time_limit_seconds": 0.0,
        "demo_faults": False,
        "demo_folder": None,
        "handler_modules": lambda: ["laneway.handlers.demo"],
    }
    return SimpleNamespace(**values | changed)


def test_the_demo_follows_the_settings(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("to be or not to be")
    with_faults = load_configured(settings(demo_faults=True, demo_folder=tmp_path))
    assert "crash" in with_faults.types
    assert with_faults.types["wordcount"].function({"path": "a.txt"})["words"] == 6
    assert "crash" not in load_configured(settings()).types


def test_programs_exit_with_status_2_and_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load_configured(settings(handler_modules=lambda: ["no_such_module"]))
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("wrong setting: LANEWAY_HANDLERS: module 'no_such_module'")


def test_limits_of_a_type_are_read(write: Write) -> None:
    text = "@handler(max_running=3)\ndef a(p): ...\n@handler(rate='100/m')\ndef b(p): ...\n@handler\ndef c(p): ...\n"
    types = load([write("limited", text)]).types
    assert types["a"].limits == TypeLimits(3)
    assert types["b"].limits == TypeLimits(None, "100/m")
    assert types["b"].limits is not None
    assert (types["b"].limits.max_starts, types["b"].limits.period_seconds) == (100, 60)
    assert types["c"].limits is None
