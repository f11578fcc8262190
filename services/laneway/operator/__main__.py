"""`laneway operator`: runs the operator (`operator/main.py`, beside this package) under kopf, for one namespace.

The namespace is the pod's own, or the one of the current context where there is no pod.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from kopf import cli
from lightkube import KubeConfig

from laneway.settings import load


def main_file() -> Path:
    """Kopf's decorators: beside this module in an installed package, in `operator/` of a checkout."""
    installed = Path(__file__).with_name("main.py")
    return installed if installed.exists() else Path(__file__).resolve().parents[3] / "operator" / "main.py"


def namespace() -> str:
    """Where the operator watches and acts."""
    if given := os.environ.get("POD_NAMESPACE"):
        return given
    config = KubeConfig.from_env().get()
    return config.namespace if config else "default"


def main() -> None:
    settings = load()
    health = f"http://0.0.0.0:{settings.operator_health_port}/healthz"
    arguments = [
        "run",
        "--standalone",
        f"--namespace={namespace()}",
        f"--liveness={health}",
        str(main_file()),
    ]
    # Not uvloop, which kopf's command takes where it is installed: after refused connections an operator under it could open none
    # for up to a minute (uvloop 0.23), not to the API server and not to Redis.
    cli.main(arguments, obj=cli.CLIControls(loop=asyncio.new_event_loop()))


if __name__ == "__main__":
    main()
