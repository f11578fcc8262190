"""Builds FerretDB from its published Go module, like the programs of the cluster tests. `python -m tests.servers.ferretdb_build`
builds it and prints where it is."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.toolchain import Module

FERRETDB = Module(Path(__file__).parent / "go", {"ferretdb": "./ferretdb"})

if __name__ == "__main__":
    print(FERRETDB.programs()["ferretdb"])
