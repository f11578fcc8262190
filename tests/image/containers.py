"""Start containers as the kubelet would for the chart's pods: user, command, environment, read-only root, no capabilities."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.helm.chart import Manifest, environment, one
from tests.image.daemon import Docker

ASSIGNED_USER = 1_000_730_000
"""Where the chart names no user, OpenShift assigns one that the image does not know, with group 0."""


@dataclass
class Containers:
    """Containers of the chart's components."""

    docker: Docker
    image: str
    chart: list[Manifest]
    servers: Mapping[str, str]
    """Variables that name Redis and MongoDB, in place of the chart's."""
    ids: list[str] = field(default_factory=list)

    def start(self, component: str, **variables: str) -> str:
        """Start a component's container with these additional variables, and return its id."""
        pod = one(self.chart, "Deployment", component)["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        given = {**environment(self.chart, component), **self.servers, **variables}
        for name in ("LANEWAY_REDIS_PASSWORD", "LANEWAY_MONGO_PASSWORD"):
            del given[name]  # the servers' URLs contain their passwords
        options = [f"--env={name}={value}" for name, value in given.items()]
        started = self.docker(
            "run", "--detach", *_options(pod), *options, self.image, *container["args"]
        ).strip()
        self.ids.append(started)
        return started

    def test(self, url: str) -> str:
        """Run the chart's test against `url`, and return its output."""
        pod = one(self.chart, "Pod", "test")["spec"]
        (container,) = pod["containers"]
        arguments = [url if argument.startswith("http://") else argument for argument in container["args"]]
        return self.docker("run", "--rm", *_options(pod), self.image, *arguments, limit_seconds=120)

    def stop(self, container: str, component: str) -> int:
        """Stop a container as a deleted pod's, within its grace period, and return the exit code."""
        pod = one(self.chart, "Deployment", component)["spec"]["template"]["spec"]
        grace = pod["terminationGracePeriodSeconds"]
        self.docker("stop", f"--time={grace}", container, limit_seconds=grace + 30)
        state: dict[str, Any] = json.loads(self.docker("inspect", container))[0]["State"]
        return int(state["ExitCode"])

    def logs(self, container: str) -> list[str]:
        """Return the lines of both outputs."""
        done = self.docker.run("logs", container)
        return (done.stdout + done.stderr).splitlines()

    def output(self, container: str) -> list[str]:
        """Return the lines of standard output only."""
        return self.docker("logs", container).splitlines()

    def remove(self) -> None:
        """Remove all containers that were started."""
        if self.ids:
            self.docker("rm", "--force", *self.ids)


def _options(pod: Mapping[str, Any]) -> list[str]:
    (container,) = pod["containers"]
    security = container["securityContext"]
    assert security["allowPrivilegeEscalation"] is False
    context = pod["securityContext"]
    user, group = context.get("runAsUser", ASSIGNED_USER), context.get("runAsGroup", 0)
    return [
        "--network=host",
        f"--user={user}:{group}",
        *(["--read-only"] if security["readOnlyRootFilesystem"] else []),
        *[f"--cap-drop={capability}" for capability in security["capabilities"]["drop"]],
        "--security-opt=no-new-privileges",
        *[f"--tmpfs={mount['mountPath']}" for mount in container.get("volumeMounts", [])],
    ]
