"""What is done on a node's machine stays there, and goes with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.node.machine import CGROUPS, KERNEL, NoMachineError, machine

PLACES = ("/run", "/var/lib", "/var/log")
DEEDS = """
hostname changed
ip link add ours type bridge
for place in $PLACES; do mkdir $place/$NAME; done
mount -t tmpfs $NAME /mnt
sleep infinity >/dev/null 2>&1 &
for group in $CGROUPS/$GROUP $CGROUPS/*/$GROUP; do
    if test -e $group; then mkdir $group/pod; fi
done
"""


def test_nothing_that_is_done_on_a_machine_is_seen_outside_or_left(tmp_path: Path) -> None:
    name = Path("/proc/sys/kernel/hostname").read_text()
    kernel = {setting: Path("/proc/sys", setting).read_text() for setting in KERNEL}
    try:
        with machine(tmp_path) as made:
            group = made.cgroup.strip("/")
            known = {"PLACES": " ".join(PLACES), "NAME": made.name, "CGROUPS": str(CGROUPS), "GROUP": group}
            made("env", *(f"{variable}={value}" for variable, value in known.items()), "sh", "-ec", DEEDS)
            assert len(made.processes()) > 2
            assert list(CGROUPS.glob(f"**/{group}/pod"))
            assert [made("cat", f"/proc/sys/{setting}") for setting in KERNEL] == [
                f"{value}\n" for value in KERNEL.values()
            ]
            outside = _outside(made.name)
    except NoMachineError as error:
        pytest.skip(str(error))
    assert outside == []
    assert _outside(made.name) == []
    assert made.processes() == []
    assert list(CGROUPS.glob(f"**/{group}")) == []
    assert made.wire not in _links()
    assert Path("/proc/sys/kernel/hostname").read_text() == name
    assert {setting: Path("/proc/sys", setting).read_text() for setting in KERNEL} == kernel


def _outside(name: str) -> list[str]:
    """What the real machine knows of those deeds."""
    seen = [place for place in PLACES if Path(place, name).exists()]
    seen += [line for line in Path("/proc/self/mounts").read_text().splitlines() if name in line]
    return seen + [link for link in _links() if link == "ours"]


def _links() -> list[str]:
    return [path.name for path in Path("/sys/class/net").iterdir()]
