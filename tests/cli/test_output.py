"""How tables are printed."""

from __future__ import annotations

import io
import sys

import pytest

from laneway.cli.output import table

JOB_ID = "0c6782279753498abdff9cbb5"


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, *cells: str) -> list[str]:
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "dumb")
    table(("ID", "USER", "ERROR"), [(None, cells)], as_json=False)
    return stream.getvalue().splitlines()


def test_a_pipe_gets_a_line_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    error = "it failed " * 30
    _, line = printed(monkeypatch, io.StringIO(), JOB_ID, "ann", error)
    assert line.split() == [JOB_ID, "ann", *error.split()]


def test_on_a_terminal_ids_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    _, first, *more = printed(monkeypatch, Tty(), JOB_ID, "ann", "it failed " * 30)
    assert first.startswith(JOB_ID)
    assert more


def test_texts_of_others_are_neither_markup_nor_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    _, line = printed(monkeypatch, io.StringIO(), JOB_ID, "[bold]ann[/bold]", "\x1b[2J [/] end")
    assert line.split() == [JOB_ID, "[bold]ann[/bold]", "\\x1b[2J", "[/]", "end"]
