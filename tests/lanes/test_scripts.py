"""The scripts' headers match what the commands pack and parse, and the scripts use only keys of the catalogue."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import laneway.lanes.scripts
from laneway.lanes import commands, errors
from laneway.lanes.commands import Command
from laneway.lanes.keys import TURN_PLACEHOLDER, Keys
from laneway.lanes.model import ID_LENGTH, JobState, Lease, Outcome, TypeLimit
from laneway.lanes.scripts import before_changes, includes, load
from tests.lanes.driver import new_job

FOLDER = Path(laneway.lanes.scripts.__file__).parent
FILES = sorted(path.stem for path in FOLDER.glob("*.lua"))
NAMES = [name for name in FILES if not name.startswith("_")]
SHARED = [name for name in FILES if name.startswith("_")]
LEASE = Lease("1", "ann", "0" * ID_LENGTH, "echo", b"null", 1, 3, suspect=False)

LIMIT = TypeLimit("echo", 1)
CONNECTION = commands.Connection("ann", "token:1")


def outcome() -> Outcome:
    return Outcome(LEASE, JobState.SUCCEEDED, 1, b"1")


def samples(many: int) -> dict[str, Command[Any]]:
    """One command of each kind, about `many` jobs where it takes several."""
    all_of_them: list[Command[Any]] = [
        commands.Archived(["id"] * many),
        commands.CallWaiters(["echo"] * many),
        commands.Cancel("ann", "id"),
        commands.CheckKeys(["lane:ann"] * many),
        commands.CheckLanes(),
        commands.CheckShared(),
        commands.Claim(1, 30),
        commands.Enqueue("ann", [new_job()] * many),
        commands.Expire(),
        commands.Finish("w1", [outcome()] * many),
        commands.HoldArchiver("token", 30),
        commands.InspectJob("ann", "id"),
        commands.InspectJobs("ann", 1, 1),
        commands.InspectLane("ann"),
        commands.InspectLanes(),
        commands.InspectLeases(),
        commands.InspectLog("ann", "id"),
        commands.InspectRing(),
        commands.InspectReports(commands.ReportKind.WORKERS),
        commands.InspectSelection("lane", "ann", 1, 0, 9, [JobState.QUEUED]),
        commands.InspectWait("ann", "id"),
        commands.LeaveArchiver("token"),
        commands.Limit("ann", 1),
        commands.Log([commands.NewLines(LEASE, [b'[1,1,"info","text"]'], 1)] * many),
        commands.Lose("w1", [LEASE] * many, [1] * many),
        commands.Outbox(1),
        commands.Pause("ann"),
        commands.Permit([commands.Asking(LEASE, LIMIT)] * many),
        commands.Probe(["GET"] * many),
        commands.Progress(LEASE, 1, "note"),
        commands.Purge("ann", 1, "reason"),
        commands.PurgeDelayed("ann", 1, "reason"),
        commands.Reassert(b"turn", 1, 1, [LIMIT] * many),
        commands.InspectTypes(),
        commands.Release([LEASE] * many),
        commands.PresenceDisconnect([CONNECTION] * many),
        commands.PresenceForget(commands.Disconnection("ann", 1)),
        commands.PresenceHeartbeat([CONNECTION] * many, 30, 20),
        commands.PresenceInspect("ann"),
        commands.PresenceLogout("ann", "token"),
        commands.PresenceSweep(60, 500),
        commands.Renew(30, ["handle"] * many),
        commands.Replay("ann", "1-1"),
        commands.Report(commands.ReportKind.WORKERS, "w1", {}, 15),
        commands.Resume("ann"),
        commands.Start("w1", [LEASE] * many, [1] * many),
        commands.Turns(b"", 1),
        commands.Watch(["ann"] * many, 60),
    ]
    return {command.script: command for command in all_of_them}


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.lua").read_text()


@dataclass(frozen=True)
class Header:
    """A script's header, parsed: `fixed` arguments, then `each` for every job; the shapes of its reply; its code."""

    flags: set[str]
    keys: list[str]
    fixed: int
    each: int
    reply: str
    code: str


def header(name: str) -> Header:
    shebang, *lines = (FOLDER / f"{name}.lua").read_text().splitlines()
    assert re.fullmatch(r"#!lua( flags=(allow-oom|no-writes))?", shebang)
    comments = []
    while lines[0].startswith("--"):
        comments.append(lines.pop(0).removeprefix("--").strip())
    code = "\n".join(line.split("--")[0] for line in lines)
    about, _, reply = "\n".join(comments).partition("\nReply: ")
    _, _, arguments = about.partition("KEYS[1] prefix")
    numbers = [(int(n), dots) for n, dots in re.findall(r"ARGV\[(\d+)(\.\.)?\]", arguments)]
    assert [n for n, _ in numbers] == list(range(1, len(numbers) + 1)), "each argument once, in order"
    assert all(not dots for _, dots in numbers[:-1]), "only the last may stand for many"
    repeated = bool(numbers and numbers[-1][1])
    each = 0
    if repeated:
        items = re.split(r"for each (?:job|connection):", arguments)[1:]
        each = len(re.sub(r"\([^)]*\)", "", items[0]).split(",")) if items else 1
    keys = re.findall(r"^KEYS.*$", about, re.MULTILINE)
    return Header(
        set(re.findall(r"allow-oom|no-writes", shebang)), keys, len(numbers) - repeated, each, reply, code
    )


def test_each_script_has_one_command_and_each_command_its_script() -> None:
    def below(kind: type[Any]) -> Iterator[type[Any]]:
        for one in kind.__subclasses__():
            yield one
            yield from below(one)

    kinds = {
        kind.script: kind.__name__
        for kind in below(Command)
        if kind.__module__.startswith(commands.__name__) and hasattr(kind, "script")
    }
    assert sorted(kinds) == NAMES == sorted(samples(1))
    for script, kind in kinds.items():
        assert kind == "".join(word.capitalize() for word in script.split("_"))


@pytest.mark.parametrize("name", NAMES)
def test_a_header_has_all_its_parts(name: str) -> None:
    text = (FOLDER / f"{name}.lua").read_text()
    said = header(name)
    assert said.keys == ["KEYS[1] prefix"]
    assert said.reply
    assert "Cost: O(" in text
    assert len(text.splitlines()) <= 80


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_packed_as_the_header_says(name: str) -> None:
    said = header(name)
    assert len(list(samples(1)[name].args())) == said.fixed + said.each
    assert len(list(samples(3)[name].args())) == said.fixed + 3 * said.each


@pytest.mark.parametrize("name", NAMES)
def test_a_script_uses_the_arguments_that_it_names(name: str) -> None:
    said = header(name)
    used = {int(n) for n in re.findall(r"ARGV\[(\d+)\]", said.code)}
    assert used <= set(range(1, said.fixed + 1))
    if not said.each:
        assert used == set(range(1, said.fixed + 1))
    assert "KEYS" not in said.code  # _keys.lua takes the prefix


@pytest.mark.parametrize("name", NAMES)
def test_every_status_in_the_code_is_in_the_header(name: str) -> None:
    said = header(name)
    for status in re.findall(r"(?:return \{? ?|reply = \{ |fate = )'([a-z]+)'", said.code):
        assert re.search(rf"\b{status}\b", said.reply), f"{status} is not said to be a reply"


def test_every_status_of_an_enqueue_means_something() -> None:
    meanings: dict[str, type[errors.LaneError]] = {
        "mismatch": errors.IdempotencyMismatch,
        "full": errors.LaneFull,
        "heavy": errors.LaneFull,
        "fast": errors.TooFast,
        "backlog": errors.HistoryBacklogFull,
        "revoked": errors.TokenRevoked,
    }
    command = samples(1)["enqueue"]
    statuses = set(re.findall(r"'([a-z]+)'", header("enqueue").reply))
    assert statuses == meanings.keys() | {"accepted", "repeated"}
    for status, kind in meanings.items():
        with pytest.raises(kind):
            command.parse([status.encode(), 1500])
    for status in ("accepted", "repeated"):
        accepted = command.parse([status.encode(), 3, b"id1", b"id2"])
        assert (accepted.job_ids, accepted.position) == (("id1", "id2"), 3)
        assert accepted.repeated == (status == "repeated")
    with pytest.raises(errors.LaneError, match="unheard"):
        command.parse([b"unheard"])


@pytest.mark.parametrize("name", ["expire", "lose"])
def test_every_result_of_a_lost_job_means_something(name: str) -> None:
    results = re.findall(r"\w+", header(name).reply.partition("id,")[2].partition(", attempts")[0])
    assert set(results) == {"returned", "failed", "cancelled"}
    reply = [[b"ann", b"id", result.encode(), b"1", b"echo"] for result in results]
    parsed = samples(1)[name].parse(reply)
    assert {str(one.state) for one in parsed} == {"queued", "failed", "cancelled"}


@pytest.mark.parametrize("name", FILES)
def test_no_script_iterates_over_keys_or_uses_random_numbers(name: str) -> None:
    text = (FOLDER / f"{name}.lua").read_text()
    called = set(re.findall(r"redis\.p?call\('(\w+)'", text))
    assert not called & {
        "KEYS",
        "SCAN",
        "HSCAN",
        "SSCAN",
        "ZSCAN",
        "SORT",
        "RANDOMKEY",
        "FLUSHDB",
        "FLUSHALL",
    }
    assert len(re.findall(r"redis\.p?call\(", text)) == len(re.findall(r"redis\.p?call\('[A-Z]+'", text)), (
        "commands are literals"
    )
    assert "math.random" not in text


@pytest.mark.parametrize("name", NAMES)
def test_scripts_that_only_read_are_declared_so(name: str) -> None:
    assert ("no-writes" in header(name).flags) == (name in ("outbox", "probe", "replay") or "inspect" in name)


@pytest.mark.parametrize("name", FILES)
def test_every_key_is_in_the_catalogue(name: str) -> None:
    catalogue = set(re.findall(r"--   P ([a-z]+)", text_of("_keys")))
    assert len(catalogue) > 10
    assert set(re.findall(r"P \.\. '([a-z]+)", text_of(name))) <= catalogue


def test_python_and_lua_agree_on_names() -> None:
    assert f"local ID_LENGTH = {ID_LENGTH}\n" in text_of("_keys")
    assert f"local TURN_PLACEHOLDER = '{TURN_PLACEHOLDER}'\n" in text_of("_turns")
    keys = Keys("q")
    assert keys.prefix == "{q:0}:1:"
    for name in ("ring", "lanes", "leases", "retries", "outbox", "turns", "turn", "wakeups"):
        assert getattr(keys, name) == keys.prefix + name
        assert re.search(rf"P \.\. '{name}'", "".join(map(text_of, FILES)))
    assert (keys.revoked("t"), keys.events("ann")) == ("{q:0}:1:revoked:t", "{q:0}:1:events:ann")


TOP_LEVEL = re.compile(r"^local (?:function )?([\w, ]+?)(?: =|\(| --|$)", re.MULTILINE)


def defined_in(shared: str) -> set[str]:
    """The names that a shared file defines for those who include it."""
    return {name for names in TOP_LEVEL.findall(text_of(shared)) for name in names.split(", ")}


def words_of(name: str) -> set[str]:
    """The words in a file's code, without its comments, strings and the fields of its tables."""
    code = re.sub(r"'[^']*'|--.*", "", text_of(name))
    return set(re.findall(r"(?<![.\w])[a-zA-Z_]\w*", code))


@pytest.mark.parametrize("name", FILES)
def test_a_file_includes_what_it_uses_and_nothing_else(name: str) -> None:
    own = defined_in(name)
    used = {shared for shared in SHARED if shared != name and (defined_in(shared) - own) & words_of(name)}
    assert set(includes(name)) == used


def test_no_two_shared_files_define_the_same_name() -> None:
    defined = [name for shared in SHARED for name in sorted(defined_in(shared))]
    assert sorted(set(defined)) == sorted(defined)


@pytest.mark.parametrize("name", NAMES)
def test_an_assembled_script_has_each_shared_file_once_and_after_those_that_it_needs(name: str) -> None:
    text = load(name).text
    first_lines = {shared: text_of(shared).splitlines()[0] for shared in SHARED}
    places = {shared: text.find(line) for shared, line in first_lines.items()}
    included = {shared for shared, place in places.items() if place >= 0}
    assert included >= set(includes(name))
    for shared in included:
        assert text.count(first_lines[shared]) == 1
        assert all(0 <= places[needed] < places[shared] for needed in includes(shared))


@pytest.mark.parametrize("name", NAMES)
def test_an_assembled_script_makes_no_function_that_it_does_not_call(name: str) -> None:
    code = re.sub(r"--.*", "", load(name).text)
    words = re.findall(r"\w+", code)
    made = re.findall(r"^local function (\w+)", code, re.MULTILINE)
    assert [function for function in made if words.count(function) == 1] == []


@pytest.mark.parametrize("name", NAMES)
def test_what_a_header_says_of_the_time_before_changes_is_in_the_script(name: str) -> None:
    """That it is true is for test_rights.py and test_wrong_types.py to show."""
    used = set(re.findall(r"redis\.call\('(\w+)'|P \.\. '(\w+)'", load(name).text))
    assert before_changes(name) <= {word for pair in used for word in pair}


@pytest.mark.parametrize("name", FILES)
def test_no_function_takes_more_than_five_arguments(name: str) -> None:
    for arguments in re.findall(r"function[ \w]*\(([^)]*)\)", text_of(name)):
        assert len(arguments.split(",")) <= 5, arguments


def test_luacheck_finds_nothing(tmp_path: Path) -> None:
    if not (luacheck := shutil.which("luacheck")):
        pytest.skip("luacheck is not installed")
    for name in NAMES:
        (tmp_path / f"{name}.lua").write_text(load(name).text)
    options = ["--std", "lua51", "--read-globals", "redis", "cjson", "KEYS", "ARGV", "--no-max-line-length"]
    options += ["--codes", "--ranges", "--formatter", "plain"]
    done = subprocess.run(
        [luacheck, *options, "--", *(f"{name}.lua" for name in NAMES)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    shared_names = set().union(*map(defined_in, SHARED))
    unused = re.compile(r".*unused variable '?(\w+)'?")  # a script may use only a part of a shared file
    found = [
        line
        for line in done.stdout.splitlines()
        if not ("(W211)" in line and (match := unused.match(line)) and match[1] in shared_names)
    ]
    assert found == []
    assert done.returncode in (0, 1), done.stderr
    assert "W211" in done.stdout  # it looked at the shared files, too
