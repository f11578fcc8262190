"""All kinds of faults by name."""

from __future__ import annotations

from chaos.faults import data, jobs, network, processes, servers
from chaos.faults.fault import Fault

FAULTS: dict[str, Fault] = {
    fault.name: fault for module in (processes, servers, network, data, jobs) for fault in module.FAULTS
}
