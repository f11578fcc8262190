"""The connections of pool processes: reads what they announce, and notices when they die."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from laneway.lanes.commands import Release
from laneway.worker import private_folder, protocol
from laneway.worker.counts import Counts
from laneway.worker.lease_keeper.deaths import Deaths, kill_pid
from laneway.worker.lease_keeper.delivery import Delivery
from laneway.worker.lease_keeper.pool import Pool
from laneway.worker.lease_keeper.watched_process import WatchedProcess
from laneway.worker.protocol import FromProcess, MessageReader
from laneway.worker.start_tokens import RunningMark, StartTokens

READ_BYTES = 65536
WORKER_DEATH_SECONDS = 0.1
"""If Celery dies this soon after a pool process, or the lease keeper itself is killed, the whole worker goes."""
LAST_WORDS_SECONDS = 1.0
"""How long a dead process's messages are still read: a copy that a handler forked may hold the socket open."""


class Connections:
    """Serves the Unix socket in `folder`."""

    def __init__(self, folder: Path, pool: Pool, deaths: Deaths, delivery: Delivery, counts: Counts) -> None:
        self._folder, self._pool, self._deaths = folder, pool, deaths
        self._delivery, self._counts = delivery, counts

    async def serve(self) -> None:
        """Accept pool processes until cancelled."""
        async with await asyncio.start_unix_server(
            self._serve_one, str(private_folder.socket_path(self._folder))
        ) as server:
            await server.serve_forever()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        messages: MessageReader[FromProcess] = MessageReader(FromProcess)
        while not (arrived := messages.feed(await reader.read(READ_BYTES))):
            if reader.at_eof():
                return
        hello, *others = arrived
        if not isinstance(hello, protocol.Hello):
            raise TypeError(f"the first message of a pool process is {hello!r}, not Hello")
        process = self._pool.processes[hello.pid] = WatchedProcess(
            hello.pid,
            writer,
            StartTokens(private_folder.start_tokens_path(self._folder, hello.pid), create=False),
            RunningMark(private_folder.running_mark_path(self._folder, hello.pid)),
        )
        celery_death = _death_of(hello.parent)
        if self._pool.is_stopping:
            process.send(protocol.ShutDown())
        try:
            for message in others:
                self._apply(process, message)
            await self._listen_until_death(process, reader, messages)
        finally:
            del self._pool.processes[process.pid]
            writer.close()
        self._pool.deaths_in_progress += 1
        try:
            await asyncio.wait({celery_death}, timeout=WORKER_DEATH_SECONDS)
            await self._deaths.give_back(
                process, is_stopping=self._pool.is_stopping, is_worker_lost=celery_death.done()
            )
            celery_death.cancel()
            await asyncio.to_thread(private_folder.remove_files_of, self._folder, process.pid)
        finally:
            self._pool.deaths_in_progress -= 1

    async def _listen_until_death(
        self, process: WatchedProcess, reader: asyncio.StreamReader, messages: MessageReader[FromProcess]
    ) -> None:
        death = _death_of(process.pid)
        listening = asyncio.create_task(self._listen(process, reader, messages))
        await asyncio.wait({listening, death}, return_when=asyncio.FIRST_COMPLETED)
        if listening.done() and not death.done():
            kill_pid(process.pid)  # it closed its end and lives: it cannot announce what it starts any more
            await death
        await asyncio.wait({listening}, timeout=LAST_WORDS_SECONDS)
        listening.cancel()

    async def _listen(
        self, process: WatchedProcess, reader: asyncio.StreamReader, messages: MessageReader[FromProcess]
    ) -> None:
        while data := await reader.read(READ_BYTES):
            for message in messages.feed(data):
                self._apply(process, message)

    def _apply(self, process: WatchedProcess, message: FromProcess) -> None:
        match message:
            case protocol.BatchPlanned():
                if taken := process.plan_batch(message):
                    self._delivery.send_soon([Release(taken)])
            case protocol.TasksPlanned(jobs):
                process.add(jobs, time.monotonic())
            case protocol.ReturnPlanned(jobs):
                process.plan_return(jobs)
            case protocol.ReturnEnded():
                process.end_return()
            case protocol.BatchRecorded():
                process.end_batch()
            case protocol.LeasesEnded(handles):
                process.expand()
                process.remove(handles)
            case protocol.TurnBegan():
                process.in_turn = True
            case protocol.TurnEnded():
                process.in_turn = False
            case protocol.CountsReported(counts):
                self._counts.merge(counts)


def _death_of(pid: int) -> asyncio.Future[None]:
    """Return a future that is done when the process has ended. Cancel it if it is not needed any more."""
    loop = asyncio.get_running_loop()
    death: asyncio.Future[None] = loop.create_future()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        death.set_result(None)
        return death

    def on_end() -> None:
        if not death.done():
            death.set_result(None)

    def close(_: object) -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)

    loop.add_reader(descriptor, on_end)
    death.add_done_callback(close)
    return death
