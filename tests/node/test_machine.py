"""Changes on a node's machine stay there and end with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.node.machine import CGROUPS, KERNEL, NoMachineError, machine

PLACES = ("/run", "/var/lib", "/var/log")
CHANGES = """
hostname changed
ip link add ours type bridge
for place in $PLACES; do mkdir $place/$NAME; done
mount -t tmpfs $NAME /mnt
sleep infinity >/dev/null 2>&1 &
for group in $CGROUPS/$GROUP $CGROUPS/*/$GROUP; do
    if test -e $group; then mkdir $group/pod; fi
done
"""


def test_changes_are_invisible_outside_and_leave_nothing(tmp_path: Path) -> None:
    name = Path("/proc/sys/kernel/hostname").read_text()
    kernel = {setting: Path("/proc/sys", setting).read_text() for setting in KERNEL}
    try:
        with machine(tmp_path) as node_machine:
            group = node_machine.cgroup.strip("/")
            known = {
                "PLACES": " ".join(PLACES),
                "NAME": node_machine.name,
                "CGROUPS": str(CGROUPS),
                "GROUP": group,
            }
            node_machine(
                "env", *(f"{variable}={value}" for variable, value in known.items()), "sh", "-ec", CHANGES
            )
            assert len(node_machine.processes()) > 2
            assert list(CGROUPS.glob(f"**/{group}/pod"))
            assert [node_machine("cat", f"/proc/sys/{setting}") for setting in KERNEL] == [
                f"{value}\n" for value in KERNEL.values()
            ]
            outside = _outside(node_machine.name)
    except NoMachineError as error:
        pytest.skip(str(error))
    assert outside == []
    assert _outside(node_machine.name) == []
    assert node_machine.processes() == []
    assert list(CGROUPS.glob(f"**/{group}")) == []
    assert node_machine.wire not in _links()
    assert Path("/proc/sys/kernel/hostname").read_text() == name
    assert {setting: Path("/proc/sys", setting).read_text() for setting in KERNEL} == kernel


def _outside(name: str) -> list[str]:
    """Return the changes that the real machine can see."""
    seen = [place for place in PLACES if Path(place, name).exists()]
    seen += [line for line in Path("/proc/self/mounts").read_text().splitlines() if name in line]
    return seen + [link for link in _links() if link == "ours"]


def _links() -> list[str]:
    return [path.name for path in Path("/sys/class/net").iterdir()]
