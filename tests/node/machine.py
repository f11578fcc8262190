"""A machine for a node: namespaces of its own for processes, network, mounts, IPC and the host's name.

What a kubelet, a container runtime and a service proxy do to a machine (mounts, bridges, firewall rules, sysctls, sockets in
/run, files in /var) they do to this one. Its first process ends with the one that made it, and with it, by the kernel, go all
its processes, containers among them, its mounts and its network. Only the control groups are the real machine's: they are
below one of ours, which is removed. It reaches this machine at one address, and nothing beyond.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from laneway.dev.embedded import spawn

NAMESPACES = ["--net", "--mount", "--pid", "--ipc", "--uts"]
PROGRAMS = ("unshare", "nsenter", "ip", "mount", "hostname")
RANGE = IPv4Address("198.18.0.0")
"""/15, meant for tests of networks (RFC 2544): each machine takes four addresses."""
CGROUPS = Path("/sys/fs/cgroup")
WAIT_SECONDS = 30.0
KERNEL = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}
"""What a kubelet wants of the kernel. These are the same for all namespaces, and the real machine's are not to be changed."""


class NoMachineError(RuntimeError):
    """There can be no such machine here. The text says why."""


@dataclass(frozen=True)
class Machine:
    name: str
    address: str
    gateway: str
    """Of the real machine, as seen from this one."""
    cgroup: str
    """Control group of its pods, in every hierarchy."""
    folder: Path
    process: subprocess.Popen[bytes]
    first: int
    """Its process 1, as the real machine numbers it."""
    numbering: Path
    """The namespace of its processes."""

    @property
    def wire(self) -> str:
        """The real machine's end of it."""
        return self.name.replace("node-", "queue")

    def command(self, *argv: str) -> list[str]:
        """What runs this in it."""
        return ["nsenter", f"--target={self.first}", *NAMESPACES, "--", *argv]

    def __call__(self, *argv: str) -> str:
        """Run this in it; returns what it printed."""
        return _run(*self.command(*argv))

    def processes(self) -> list[int]:
        """All that have not ended, as the real machine numbers them."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended
                if (folder / "ns/pid").readlink() == self.numbering:
                    found.append(int(folder.name))
        return found

    def end(self) -> None:
        """Kill whatever runs in it, and wait for that. Its network goes last: who has a connection there is to learn of its end."""
        if self.process.poll() is None:
            subprocess.run(self.command("sh", "-c", "kill -9 -1"), check=False, timeout=WAIT_SECONDS)
            deadline = time.monotonic() + WAIT_SECONDS
            while len(self.processes()) > len(("shell", "sleep")) and time.monotonic() < deadline:
                time.sleep(0.02)
            os.kill(self.first, signal.SIGKILL)
            self.process.wait(WAIT_SECONDS)
            # The kernel takes a network apart when it has the time; not if it was faster.
            subprocess.run(["ip", "link", "delete", self.wire], capture_output=True, check=False)


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """Raises NoMachineError."""
    check()
    name = f"node-{secrets.token_hex(3)}"
    network = RANGE + 4 * secrets.randbelow(2**15)
    with ExitStack() as stack:
        with (folder / "machine.log").open("wb") as log:
            # The shell reaps what containers leave behind, and outlives all others.
            shell = ["sh", "-c", "while :; do sleep infinity & wait; done"]
            argv = ["unshare", *NAMESPACES, "--fork", "--kill-child", "--mount-proc", *shell]
            process = spawn(argv, output=log.fileno())
        cgroup = f"laneway-{name}"
        stack.callback(_remove_cgroups, cgroup)
        first = _first(process)
        made = Machine(
            name=name,
            address=str(network + 2),
            gateway=str(network + 1),
            cgroup=f"/{cgroup}",
            folder=folder,
            process=process,
            first=first,
            numbering=Path(f"/proc/{first}/ns/pid").readlink(),
        )
        stack.callback(made.end)
        _make_cgroups(cgroup)
        _connect(made)
        _furnish(made)
        yield made


def check() -> None:
    """Raises NoMachineError if something is missing."""
    if os.geteuid() != 0:
        raise NoMachineError("a node is made as root only")
    if missing := [program for program in PROGRAMS if not shutil.which(program)]:
        raise NoMachineError(f"{', '.join(missing)} not installed (Debian: util-linux, iproute2, hostname)")
    tried = subprocess.run(
        ["unshare", *NAMESPACES, "true"], capture_output=True, text=True, check=False, timeout=WAIT_SECONDS
    )
    if tried.returncode:
        raise NoMachineError(f"namespaces cannot be made here: {tried.stderr.strip()}")


def _first(unshare: subprocess.Popen[bytes]) -> int:
    """Its child, once that has the mounts of its own and runs the shell."""
    deadline = time.monotonic() + WAIT_SECONDS
    while unshare.poll() is None and time.monotonic() < deadline:
        for child in Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children").read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == "sh":
                return int(child)
        time.sleep(0.01)
    unshare.kill()
    raise RuntimeError(f"unshare starts no shell: {unshare.wait()}")


def _connect(made: Machine) -> None:
    """One wire between the two machines, and no route to anywhere else."""
    ours = made.wire
    _run("ip", "link", "add", ours, "type", "veth", "peer", "name", "eth0", "netns", str(made.first))
    _run("ip", "address", "add", f"{made.gateway}/30", "dev", ours)
    _run("ip", "link", "set", ours, "up")
    made("ip", "link", "set", "lo", "up")
    made("ip", "address", "add", f"{made.address}/30", "dev", "eth0")
    made("ip", "link", "set", "eth0", "up")


def _furnish(made: Machine) -> None:
    """Its own name, /run, /var/lib and /var/log; what it sees of the kernel's settings is what a kubelet wants."""
    kernel = made.folder / "kernel"
    kernel.mkdir()
    lines = [
        f"hostname {made.name}",
        "mount -t tmpfs tmpfs /run",
        "echo 1 >/proc/sys/net/ipv4/ip_forward",  # the network's settings are its own
        "echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables",
    ]
    for place in ("lib", "log"):
        layers = f"/run/var/{place}"
        lines += [
            f"mkdir -p {layers}/upper {layers}/work",
            f"mount -t overlay -o lowerdir=/var/{place},upperdir={layers}/upper,workdir={layers}/work overlay /var/{place}",
        ]
    for setting, value in KERNEL.items():
        shown = kernel / setting.replace("/", ".")
        shown.write_text(f"{value}\n")
        lines.append(f"mount --bind {shown} /proc/sys/{setting}")
    lines.append("mount --make-rshared /")  # containers' mounts are to be seen by the kubelet
    made("sh", "-ec", "\n".join(lines))


def _hierarchies() -> list[Path]:
    """One in cgroup v2, one for each controller in v1."""
    folders = [CGROUPS, *(path for path in CGROUPS.iterdir() if path.is_dir())]
    mounted = {Path(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    return [path for path in folders if path in mounted and (path / "cgroup.procs").exists()]


def _make_cgroups(name: str) -> None:
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir()
        for file in ("cpuset.cpus", "cpuset.mems"):  # in v1 a new group has none
            if (hierarchy / file).exists():
                (hierarchy / name / file).write_text((hierarchy / file).read_text())


def _remove_cgroups(name: str) -> None:
    """The kernel takes a moment to see that their processes are gone."""
    deadline = time.monotonic() + WAIT_SECONDS
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            while True:
                try:
                    Path(folder).rmdir()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout
