"""Stands in for a kubelet: runs the programs of simulated pods as processes of this machine.

kwok only claims that a pod of the node `node-processes` runs. This module really runs it: the program that `args` names,
from this tree, with exactly the environment that the chart gives it, its own host name and address
(`pod/sitecustomize.py`), and its service account's token if the pod mounts one. A pod is ready once its readiness probe has
succeeded. A deleted pod gets SIGTERM after its preStop sleep, and a finalizer keeps it Terminating until its process has
ended.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx

from laneway.dev.embedded import spawn
from tests.cluster.control_plane import ControlPlane
from tests.cluster.program import Program

ROOT = Path(__file__).parents[2]
SHIM = Path(__file__).parent / "pod"
NODE = "node-processes"
PLACEMENT = {
    "nodeSelector": {"kubernetes.io/hostname": NODE},
    "tolerations": [{"key": "processes", "operator": "Exists"}],
}
"""Chart values that schedule a component's pods to this node."""
FINALIZER = "tests.laneway.dev/process"
STOP_SECONDS = 60.0
PROBE_SECONDS = 0.2


class Kubelet:
    """Runs the pods of one namespace on `node-processes`. As a context manager it kills every process at the end."""

    def __init__(self, cluster: ControlPlane, kubectl: Program, namespace: str, folder: Path) -> None:
        self._cluster, self._kubectl, self._namespace, self._folder = cluster, kubectl, namespace, folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._watch: subprocess.Popen[str] | None = None
        self._ended: dict[str, int] = {}
        self._stopping: set[str] = set()
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        # A process dies with the thread that started it, so the watching thread starts all of them.
        self._thread(self._follow)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for process in list(self._processes.values()):
            for pid in _tree(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self._watch is not None:
            self._watch.kill()
        for thread in self._threads:
            thread.join(STOP_SECONDS)

    def exit_code(self, pod: str) -> int | None:
        """The exit code of a pod's process; None while it runs."""
        return self._ended.get(pod)

    def log(self, pod: str) -> str:
        return (self._folder / f"{pod}.log").read_text(errors="replace")

    def logs(self) -> str:
        """The last part of every log."""
        paths = sorted(self._folder.glob("*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in paths)

    # -- pods -----------------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        command = ["get", "pods", f"--namespace={self._namespace}", f"--field-selector=spec.nodeName={NODE}"]
        with self._kubectl.start(*command, "--watch", "--output-watch-events", "--output=json") as watch:
            self._watch = watch
            for event in events(watch):
                if self._closing.is_set():
                    return
                self._handle(event["object"])

    def _handle(self, pod: dict[str, Any]) -> None:
        name, status = pod["metadata"]["name"], pod["status"]
        if "deletionTimestamp" in pod["metadata"]:
            process = self._processes.get(name)
            if process is not None and name not in self._stopping:
                self._stopping.add(name)
                self._thread(lambda: self._stop(pod, process))
        elif status.get("phase") == "Running" and status.get("podIP") and name not in self._processes:
            self._set_finalizers(name, [FINALIZER])
            with (self._folder / f"{name}.log").open("ab") as log:
                process = spawn(
                    self._command(pod), output=log.fileno(), cwd=self._folder, env=self._environment(pod)
                )
            self._processes[name] = process
            self._thread(lambda: self._reap(name, process))
            self._thread(lambda: self._await_ready(pod))

    def _stop(self, pod: Mapping[str, Any], process: subprocess.Popen[bytes]) -> None:
        hook = pod["spec"]["containers"][0].get("lifecycle", {}).get("preStop", {})
        self._closing.wait(hook.get("sleep", {}).get("seconds", 0))
        process.send_signal(signal.SIGTERM)

    def _await_ready(self, pod: Mapping[str, Any]) -> None:
        name, container = pod["metadata"]["name"], pod["spec"]["containers"][0]
        probe = container["readinessProbe"]["httpGet"]
        port = next(port["containerPort"] for port in container["ports"] if port["name"] == probe["port"])
        url = f"http://{pod['status']['podIP']}:{port}{probe['path']}"
        while name not in self._ended and not self._closing.wait(PROBE_SECONDS):
            with suppress(httpx.HTTPError):
                if httpx.get(url, timeout=5).is_success:
                    conditions = [{"type": of, "status": "True"} for of in ("ContainersReady", "Ready")]
                    self._patch(name, {"status": {"conditions": conditions}}, "--subresource=status")
                    return

    def _reap(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self._ended[name] = process.wait()
        self._set_finalizers(name, None)

    def _set_finalizers(self, pod: str, finalizers: list[str] | None) -> None:
        self._patch(pod, {"metadata": {"finalizers": finalizers}}, "--type=merge")

    def _patch(self, pod: str, patch: Mapping[str, Any], *options: str) -> None:
        self._kubectl.run(
            "patch", "pod", pod, f"--namespace={self._namespace}", *options, f"--patch={json.dumps(patch)}"
        )

    def _thread(self, target: Any) -> None:
        thread = threading.Thread(target=target, daemon=True)
        self._threads.append(thread)
        thread.start()

    # -- the container's environment ---------------------------------------------------------------------------------------

    def _command(self, pod: Mapping[str, Any]) -> list[str]:
        """The image's command: the project's console script with a subcommand."""
        script, subcommand = pod["spec"]["containers"][0]["args"]
        scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
        return [sys.executable, "-m", scripts[script].partition(":")[0], subcommand]

    def _environment(self, pod: Mapping[str, Any]) -> dict[str, str]:
        name, spec = pod["metadata"]["name"], pod["spec"]
        container = spec["containers"][0]
        found = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "PYTHONPATH": f"{SHIM}{os.pathsep}{ROOT}",
        }
        found |= {"HOSTNAME": name, "POD_IP": pod["status"]["podIP"]}
        for source in container.get("envFrom", []):
            found |= self._read("configmap", source["configMapRef"]["name"])
        for entry in container.get("env", []):
            value = (
                entry.get("value", "") if "valueFrom" not in entry else self._refer(pod, entry["valueFrom"])
            )
            found[entry["name"]] = re.sub(r"\$\((\w+)\)", lambda match: found[match[1]], value)
        if spec.get("automountServiceAccountToken"):
            found["KUBECONFIG"] = str(self._kubeconfig(spec["serviceAccountName"]))
        return found

    def _refer(self, pod: Mapping[str, Any], source: Mapping[str, Any]) -> str:
        if "fieldRef" in source:
            return str(pod["metadata"][source["fieldRef"]["fieldPath"].removeprefix("metadata.")])
        reference = source["secretKeyRef"]
        return self._read("secret", reference["name"])[reference["key"]]

    def _read(self, kind: str, name: str) -> dict[str, str]:
        data: dict[str, str] = self._kubectl.json("get", kind, name, f"--namespace={self._namespace}")["data"]
        if kind == "secret":
            return {key: base64.b64decode(value).decode() for key, value in data.items()}
        return data

    def _kubeconfig(self, account: str) -> Path:
        token = self._kubectl("create", "token", account, f"--namespace={self._namespace}").strip()
        return self._cluster.token_kubeconfig(f"{self._namespace}-{account}", token, self._namespace)


def _tree(pid: int) -> list[int]:
    """The process and all its descendants: like a container's processes they must end together, or one keeps a port."""
    try:
        tasks = Path(f"/proc/{pid}/task").iterdir()
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return [pid, *(below for child in children for below in _tree(child))]


def events(watch: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Parse kubectl's watch output: one JSON object after another, each on one line or on many."""
    assert watch.stdout is not None
    lines: list[str] = []
    for line in watch.stdout:
        lines.append(line)
        if line.endswith("}\n") and not line.startswith(" "):
            yield json.loads("".join(lines))
            lines.clear()
