"""The command `laneway`: one subcommand for each program.

A program is imported when its subcommand runs, so that `laneway worker` never loads the API. A base install has the client's
subcommands, and the others say what to install.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from laneway import __version__
from laneway.cli import add_commands
from laneway.cli.output import USAGE, AsJson, show

app = typer.Typer(
    name="laneway",
    help="A multi-tenant queue: a first-in-first-out lane for every user, served in fair rounds.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@contextmanager
def _needs(extra: str) -> Iterator[None]:
    """Import a program within this. Exits with 2 and one sentence if the packages of the extra are not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "laneway":
            raise
        typer.echo(
            f"laneway: this command needs the package {package!r}, which is not installed: "
            f"run `pip install 'laneway[{extra}]'`",
            err=True,
        )
        raise typer.Exit(USAGE) from None


@app.command(rich_help_panel="Programs")
def dev(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Python files with handlers. By default the modules of LANEWAY_HANDLERS."),
    ] = None,
) -> None:
    """Run the whole system on this machine, with embedded servers, until Ctrl-C. Handlers are reloaded when a file is saved."""
    with _needs("dev"):
        from laneway.dev.main import main  # noqa: PLC0415 - see the module's docstring

    main(files or ())


@app.command(rich_help_panel="Programs")
def api() -> None:
    """Run the HTTP API: several processes behind one port, until SIGTERM."""
    with _needs("server"):
        from laneway.api.__main__ import main  # noqa: PLC0415 - see the module's docstring

    main()


@app.command(rich_help_panel="Programs")
def worker() -> None:
    """Run a worker: a lease keeper and a Celery pool that serves the lanes, until SIGTERM."""
    with _needs("server"):
        from laneway.worker.__main__ import main  # noqa: PLC0415 - see the module's docstring

    main()


@app.command(rich_help_panel="Programs")
def operator() -> None:
    """Run the Kubernetes operator under kopf, for one namespace, until SIGTERM."""
    with _needs("server"):
        from laneway.operator.__main__ import main  # noqa: PLC0415 - see the module's docstring

    main()


@app.command(rich_help_panel="Programs")
def doctor(as_json: AsJson = False) -> None:
    """Look at settings, handlers, Redis and MongoDB, and say what is wrong and how to mend it.

    Exits with 0 if all is well, 1 if something is wrong, 2 if a setting or a handler is.
    """
    with _needs("server"):
        from laneway.doctor.main import main  # noqa: PLC0415 - see the module's docstring

    raise typer.Exit(main(as_json=as_json))


@app.command()
def version(as_json: AsJson = False) -> None:
    """Print the version of Laneway and of Python."""
    versions = {"laneway": __version__, "python": platform.python_version()}
    show(versions, as_json=as_json, line=f"laneway {versions['laneway']} (Python {versions['python']})")


add_commands(app)


def main() -> None:
    """Run the command. Modules of the current folder can be imported, as under `python -m`: handlers are often there."""
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.append(folder)
    app()


if __name__ == "__main__":
    main()
