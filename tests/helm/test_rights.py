"""What the operator may do in the cluster. That it suffices, and holds, is seen in tests/cluster."""

from __future__ import annotations

from tests.helm.chart import Helm, Manifest, at, of_kind, one


def _rights(manifests: list[Manifest]) -> dict[tuple[str, str], list[str] | None]:
    """The names of the objects for each kind and verb; None for all of the kind."""
    found: dict[tuple[str, str], list[str] | None] = {}
    for rule in one(manifests, "Role", "operator")["rules"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                assert (resource, verb) not in found
                found[resource, verb] = rule.get("resourceNames")
    return found


def test_the_operator_may_do_what_it_does_and_no_more(helm: Helm) -> None:
    """Of the Deployments it may touch the named ones alone."""
    targets = ["demo-laneway-worker", "another"]
    assert _rights(helm.render(at("operator.extraTargets", ["another"]))) == {
        ("workerpools", "get"): None,
        ("workerpools", "list"): None,
        ("workerpools", "watch"): None,
        ("workerpools/status", "patch"): None,
        ("deployments", "get"): targets,
        ("deployments/scale", "patch"): targets,
        ("pods", "list"): None,
        ("pods", "patch"): None,
        ("events", "create"): None,
        ("leases", "get"): ["laneway-operator"],
        ("leases", "patch"): ["laneway-operator"],
    }


def test_nobody_else_has_any_rights(default: list[Manifest]) -> None:
    assert len(of_kind(default, "Role")) == 1
    (binding,) = of_kind(default, "RoleBinding")
    (subject,) = binding["subjects"]
    assert subject["name"] == "demo-laneway-operator"
