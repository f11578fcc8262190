"""A Kubernetes API server in this process, for unit tests: behind lightkube's transport, without sockets.

It keeps objects with resource versions and generations, refuses writes that were decided on an old version (409), knows
subresources, merge patches and label selectors, and answers errors as Status objects. Deployments have a controller that
makes pods and deletes the cheapest first. There are no watches. `conformance.py` holds it and a real API server to the
same checks.

A test can make requests fail: `on("patch", "deployments/scale", 500)`, `on("get", "leases", httpx2.ConnectError)`,
`on("*", "*", HANG)`; or act at the moment of a request: `on("patch", "pods", lambda: cluster.remove("pods", "p1"))`.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from lightkube import AsyncClient, KubeConfig
from lightkube.config.models import Cluster, User

NAMESPACE = "here"
CREATED = "2026-01-01T00:00:00Z"
COST = "controller.kubernetes.io/pod-deletion-cost"
HANG = "hang"
STATUS_RESOURCES = {"workerpools", "deployments", "pods"}
"""Resources whose status only their subresource writes."""
_REASONS = {403: "Forbidden", 404: "NotFound", 409: "Conflict", 429: "TooManyRequests", 500: "InternalError"}
_PATH = re.compile(
    r"/apis?(?:/[a-z0-9.]+)?/v[a-z0-9]+/namespaces/(?P<namespace>[^/]+)/(?P<plural>[a-z]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<subresource>[a-z]+))?"
)
Object = dict[str, Any]
Matches = Callable[[Mapping[str, str]], bool]
Action = int | str | type[Exception] | Callable[[], None]


class Refusal(Exception):
    """An answer with an error status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Fault:
    """What happens to matching requests, `times` times (None: always)."""

    verb: str
    resource: str
    action: Action
    times: int | None

    def matches(self, verb: str, resource: str) -> bool:
        return self.times != 0 and self.verb in {"*", verb} and self.resource in {"*", resource}


@dataclass(frozen=True, slots=True)
class Request:
    """A request that has been received. `resource` as in a Role: `deployments/scale`."""

    verb: str
    resource: str
    name: str
    body: Any


class FakeCluster(httpx2.AsyncBaseTransport):
    """One namespace of a cluster."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._objects: dict[tuple[str, str], Object] = {}
        self._versions = itertools.count(1)
        self._numbers = itertools.count(1)
        self._faults: list[Fault] = []

    def client(self) -> AsyncClient:
        """A client of this cluster. Close it."""
        config = KubeConfig.from_one(cluster=Cluster(server="http://fake"), user=User(token="any"))
        return AsyncClient(config, namespace=NAMESPACE, transport=self, trust_env=False)

    # -- for tests --------------------------------------------------------------------------------------------------

    def on(self, verb: str, resource: str, action: Action, times: int | None = 1) -> Fault:
        """Answer the next matching requests with a status code, an exception or not at all, or call `action` first."""
        fault = Fault(verb, resource, action, times)
        self._faults.append(fault)
        return fault

    def heal(self) -> None:
        """Forget all faults."""
        self._faults.clear()

    def get(self, plural: str, name: str) -> Object:
        """A copy of an object."""
        return copy.deepcopy(self._find(plural, name))

    def all(self, plural: str) -> list[Object]:
        """Copies of all objects of a kind, oldest first."""
        return [copy.deepcopy(found) for (kind, _), found in self._objects.items() if kind == plural]

    def add(self, plural: str, body: Object) -> Object:
        """Create an object; 409 if it exists."""
        metadata = body.setdefault("metadata", {})
        name = metadata["name"]
        if (plural, name) in self._objects:
            raise Refusal(409, f'{plural} "{name}" already exists')
        number = next(self._numbers)
        metadata |= {"namespace": NAMESPACE, "uid": f"uid-{number}", "generation": 1}
        metadata.setdefault("creationTimestamp", CREATED)
        self._objects[plural, name] = body
        self._bump(body)
        self._run_controllers()
        return copy.deepcopy(body)

    def patch(self, plural: str, name: str, patch: Mapping[str, Any], subresource: str = "") -> Object:
        """Merge a patch into an object; 409 if it names a resource version that is not the object's."""
        found = self._find(plural, name)
        metadata = dict(patch.get("metadata") or {})
        version = metadata.pop("resourceVersion", None)
        if version is not None and version != found["metadata"]["resourceVersion"]:
            raise Refusal(
                409, f'Operation cannot be fulfilled on {plural} "{name}": the object has been modified'
            )
        changes = {key: value for key, value in patch.items() if key != "metadata"}
        if subresource == "status":
            changes, metadata = {"status": changes.get("status")}, {}
        elif subresource == "scale":
            changes, metadata = {"spec": {"replicas": changes["spec"]["replicas"]}}, {}
        elif plural in STATUS_RESOURCES:
            changes.pop("status", None)
        merged = _merge(found, changes | ({"metadata": metadata} if metadata else {}))
        if merged != found:
            if merged.get("spec") != found.get("spec"):
                merged["metadata"]["generation"] += 1
            self._objects[plural, name] = merged
            self._bump(merged)
            self._run_controllers()
        return self.get(plural, name)

    def remove(self, plural: str, name: str) -> None:
        """Delete an object at once."""
        self._find(plural, name)
        del self._objects[plural, name]

    def terminate(self, name: str) -> None:
        """Mark a pod as Terminating: it stays, and the controller replaces it."""
        pod = self._find("pods", name)
        pod["metadata"]["deletionTimestamp"] = CREATED
        self._bump(pod)
        self._run_controllers()

    def verbs(self, resource: str) -> list[str]:
        """The verbs of the requests for a resource, in order."""
        return [request.verb for request in self.requests if request.resource == resource]

    # -- the server -------------------------------------------------------------------------------------------------

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        found = _PATH.fullmatch(request.url.path)
        assert found, request.url.path
        plural, name, subresource = found["plural"], found["name"] or "", found["subresource"] or ""
        body = json.loads(content) if (content := await request.aread()) else None
        verb = {"GET": "get" if name else "list", "POST": "create", "PATCH": "patch", "DELETE": "delete"}[
            request.method
        ]
        resource = f"{plural}/{subresource}" if subresource else plural
        self.requests.append(Request(verb, resource, name, body))
        try:
            await self._meet_faults(verb, resource)
            answer = self._answer(verb, plural, name, subresource, body, request.url.params)
        except Refusal as error:
            return _status(error.code, str(error))
        return httpx2.Response(201 if verb == "create" else 200, json=answer)

    async def _meet_faults(self, verb: str, resource: str) -> None:
        for fault in [fault for fault in self._faults if fault.matches(verb, resource)]:
            if fault.times is not None:
                fault.times -= 1
            action = fault.action
            if isinstance(action, int):
                raise Refusal(action, f"injected: {verb} {resource}")
            if isinstance(action, str):
                await asyncio.Event().wait()
            elif isinstance(action, type):
                raise action(f"injected: {verb} {resource}")
            else:
                action()

    def _answer(
        self, verb: str, plural: str, name: str, subresource: str, body: Any, params: Mapping[str, str]
    ) -> Object:
        if verb == "create":
            return self.add(plural, body)
        if verb == "list":
            matches = _selector(params.get("labelSelector", ""))
            items = [found for found in self.all(plural) if matches(found["metadata"].get("labels") or {})]
            return {"metadata": {"resourceVersion": "1"}, "items": items}
        if verb == "get":
            return self.get(plural, name)
        if verb == "delete":
            self.remove(plural, name)
            return {}
        patched = self.patch(plural, name, body, subresource)
        if subresource == "scale":
            return {"metadata": patched["metadata"], "spec": {"replicas": patched["spec"]["replicas"]}}
        return patched

    def _find(self, plural: str, name: str) -> Object:
        try:
            return self._objects[plural, name]
        except KeyError:
            raise Refusal(404, f'{plural} "{name}" not found') from None

    def _bump(self, body: Object) -> None:
        body["metadata"]["resourceVersion"] = str(next(self._versions))

    # -- controllers ------------------------------------------------------------------------------------------------

    def _run_controllers(self) -> None:
        for deployment in [found for (kind, _), found in self._objects.items() if kind == "deployments"]:
            labels = deployment["spec"]["selector"]["matchLabels"]
            matches = _selector(",".join(f"{key}={value}" for key, value in labels.items()))
            pods = [
                pod
                for (kind, _), pod in self._objects.items()
                if kind == "pods"
                and matches(pod["metadata"].get("labels") or {})
                and "deletionTimestamp" not in pod["metadata"]
            ]
            missing = deployment["spec"]["replicas"] - len(pods)
            for _ in range(missing):
                self._add_pod(deployment["metadata"]["name"], labels)
            for pod in sorted(pods, key=_deletion_rank)[: max(0, -missing)]:
                del self._objects["pods", pod["metadata"]["name"]]
            if missing:
                self._bump(deployment)  # its status has changed

    def _add_pod(self, owner: str, labels: Mapping[str, str]) -> None:
        number = next(self._numbers)
        pod: Object = {
            "metadata": {
                "name": f"{owner}-{number}",
                "namespace": NAMESPACE,
                "uid": f"uid-{number}",
                "labels": dict(labels),
                "creationTimestamp": CREATED,
            },
            "status": {
                "phase": "Running",
                "podIP": f"127.0.9.{number % 250 + 1}",
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }
        self._bump(pod)
        self._objects["pods", pod["metadata"]["name"]] = pod


def _deletion_rank(pod: Object) -> tuple[bool, int]:
    """A ReplicaSet deletes pods that are not ready first, then those of the lowest cost."""
    conditions = pod.get("status", {}).get("conditions", ())
    ready = any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)
    return ready, int((pod["metadata"].get("annotations") or {}).get(COST, "0"))


def _merge(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    merged = copy.deepcopy(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


def _selector(text: str) -> Matches:
    rules = [_rule(part.strip()) for part in re.findall(r"[^,(]+(?:\([^)]*\))?", text)]
    return lambda labels: all(rule(labels) for rule in rules)


def _rule(text: str) -> Matches:
    if found := re.fullmatch(r"(\S+) (in|notin) \((.*)\)", text):
        key, among, values = found[1], found[2] == "in", {value.strip() for value in found[3].split(",")}
        return lambda labels: (labels.get(key) in values) == among
    if text.startswith("!"):
        return lambda labels: text[1:] not in labels
    if "=" in text:
        name, wanted = re.split("==?", text, maxsplit=1)
        return lambda labels: labels.get(name) == wanted
    return lambda labels: text in labels


def _status(code: int, message: str) -> httpx2.Response:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": _REASONS.get(code, "Unknown"),
        "code": code,
    }
    return httpx2.Response(code, json=body)
