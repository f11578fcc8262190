"""The operator's Role. tests/cluster shows that these rights suffice and that the API server enforces them."""

from __future__ import annotations

from tests.helm.chart import Helm, Manifest, at, of_kind, one


def _rights(manifests: list[Manifest]) -> dict[tuple[str, str], list[str] | None]:
    """Map each resource and verb to the allowed object names, or to None for all objects."""
    found: dict[tuple[str, str], list[str] | None] = {}
    for rule in one(manifests, "Role", "operator")["rules"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                assert (resource, verb) not in found
                found[resource, verb] = rule.get("resourceNames")
    return found


def test_the_operator_has_exactly_the_rights_it_uses(helm: Helm) -> None:
    """It may touch only the named Deployments."""
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
        ("leases", "create"): None,
    }


def test_no_other_component_has_rights(default: list[Manifest]) -> None:
    assert len(of_kind(default, "Role")) == 1
    (binding,) = of_kind(default, "RoleBinding")
    (subject,) = binding["subjects"]
    assert subject["name"] == "demo-laneway-operator"
