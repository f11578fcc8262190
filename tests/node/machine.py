"""A machine for a node: its own namespaces for processes, network, mounts, IPC and host name.

A kubelet, a container runtime and a service proxy change the machine they run on: mounts, bridges, firewall rules, sysctls, sockets in /run,
files in /var. Here they change only this one. Its first process ends with the process that created it, and the kernel then ends all its
processes (containers included), its mounts and its network. Only control groups belong to the real machine; they are below one group of ours,
which is removed. The machine reaches the real one at one address, and nothing beyond.
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
"""A /15 reserved for network tests (RFC 2544). Each machine takes four addresses."""
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
"""Kernel settings that a kubelet requires. All namespaces share them, so the real machine's must not change."""


class NoMachineError(RuntimeError):
    """A machine cannot be created here; the message says why."""


@dataclass(frozen=True)
class Machine:
    """A running machine. `machine(...)` runs a command in it."""

    name: str
    address: str
    gateway: str
    """Address of the real machine, as seen from this one."""
    cgroup: str
    """Control group of its pods, in every hierarchy."""
    folder: Path
    process: subprocess.Popen[bytes]
    first: int
    """Its process 1, by its id on the real machine."""
    pid_namespace: Path
    """Its PID namespace, as /proc shows it."""

    @property
    def wire(self) -> str:
        """Network interface of the real machine that leads here."""
        return self.name.replace("node-", "laneway")

    def command(self, *argv: str) -> list[str]:
        """Return the command line that runs a command in this machine."""
        return ["nsenter", f"--target={self.first}", *NAMESPACES, "--", *argv]

    def __call__(self, *argv: str) -> str:
        """Run a command in this machine and return its output."""
        return _run(*self.command(*argv))

    def processes(self) -> list[int]:
        """Return the ids of its live processes, as the real machine numbers them."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # the process has ended
                if (folder / "ns/pid").readlink() == self.pid_namespace:
                    found.append(int(folder.name))
        return found

    def end(self) -> None:
        """Kill all its processes and wait for their end. Its network goes last, so that peers learn of closed connections."""
        if self.process.poll() is None:
            subprocess.run(self.command("sh", "-c", "kill -9 -1"), check=False, timeout=WAIT_SECONDS)
            deadline = time.monotonic() + WAIT_SECONDS
            while len(self.processes()) > len(("shell", "sleep")) and time.monotonic() < deadline:
                time.sleep(0.02)
            os.kill(self.first, signal.SIGKILL)
            self.process.wait(WAIT_SECONDS)
            # The kernel removes the network later; the link may already be gone.
            subprocess.run(["ip", "link", "delete", self.wire], capture_output=True, check=False)


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """Yield a running machine. Raise NoMachineError where none can be created."""
    check()
    name = f"node-{secrets.token_hex(3)}"
    network = RANGE + 4 * secrets.randbelow(2**15)
    with ExitStack() as stack:
        with (folder / "machine.log").open("wb") as log:
            # The shell reaps orphans of containers, and outlives all other processes.
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
            pid_namespace=Path(f"/proc/{first}/ns/pid").readlink(),
        )
        stack.callback(made.end)
        _make_cgroups(cgroup)
        _connect(made)
        _furnish(made)
        yield made


def check() -> None:
    """Raise NoMachineError if rights or programs are missing."""
    if os.geteuid() != 0:
        raise NoMachineError("only root can create a node")
    if missing := [program for program in PROGRAMS if not shutil.which(program)]:
        raise NoMachineError(f"{', '.join(missing)} not installed (Debian: util-linux, iproute2, hostname)")
    attempt = subprocess.run(
        ["unshare", *NAMESPACES, "true"], capture_output=True, text=True, check=False, timeout=WAIT_SECONDS
    )
    if attempt.returncode:
        raise NoMachineError(f"namespaces cannot be created here: {attempt.stderr.strip()}")


def _first(unshare: subprocess.Popen[bytes]) -> int:
    """Return the id of its child, once the child has its own mounts and runs the shell."""
    deadline = time.monotonic() + WAIT_SECONDS
    while unshare.poll() is None and time.monotonic() < deadline:
        for child in Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children").read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == "sh":
                return int(child)
        time.sleep(0.01)
    unshare.kill()
    raise RuntimeError(f"unshare did not start a shell; exit code {unshare.wait()}")


def _connect(made: Machine) -> None:
    """Connect the two machines by one link, without a route to anywhere else."""
    ours = made.wire
    _run("ip", "link", "add", ours, "type", "veth", "peer", "name", "eth0", "netns", str(made.first))
    _run("ip", "address", "add", f"{made.gateway}/30", "dev", ours)
    _run("ip", "link", "set", ours, "up")
    made("ip", "link", "set", "lo", "up")
    made("ip", "address", "add", f"{made.address}/30", "dev", "eth0")
    made("ip", "link", "set", "eth0", "up")


def _furnish(made: Machine) -> None:
    """Give it its own name, /run, /var/lib and /var/log, and show it the kernel settings that a kubelet requires."""
    kernel = made.folder / "kernel"
    kernel.mkdir()
    lines = [
        f"hostname {made.name}",
        "mount -t tmpfs tmpfs /run",
        "echo 1 >/proc/sys/net/ipv4/ip_forward",  # network settings belong to its namespace
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
    lines.append("mount --make-rshared /")  # the kubelet must see the containers' mounts
    made("sh", "-ec", "\n".join(lines))


def _hierarchies() -> list[Path]:
    """Return the cgroup hierarchies: one in v2, one for each controller in v1."""
    folders = [CGROUPS, *(path for path in CGROUPS.iterdir() if path.is_dir())]
    mounted = {Path(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    return [path for path in folders if path in mounted and (path / "cgroup.procs").exists()]


def _make_cgroups(name: str) -> None:
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir()
        for file in ("cpuset.cpus", "cpuset.mems"):  # empty in a new v1 group
            if (hierarchy / file).exists():
                (hierarchy / name / file).write_text((hierarchy / file).read_text())


def _remove_cgroups(name: str) -> None:
    """Remove our groups. The kernel needs a moment to notice that their processes have ended."""
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
