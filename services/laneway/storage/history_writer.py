"""The history's writer: the janitor stores tens of thousands of ended jobs a second with it, from threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError

from laneway.lanes.model import Job, JobState
from laneway.storage.documents import (
    DEAD_LETTERS,
    HISTORY,
    HistoryUnavailable,
    dead_letter_of,
    document_of,
    payload_bytes,
)
from laneway.storage.mongo import DURABLE, Document

MAX_COMMAND_BYTES = 8_000_000
"""Payload of one insert: half of the 16 MB that MongoDB accepts in one command."""
_KEY_BYTES = 500
"""What a document has beside its payload, at most."""
_DUPLICATE, _INDEX_GONE = 11000, 27
_EXPIRY = "expires"
FAILURES_INDEX = [("type", 1), ("failure", 1), ("finished_us", 1)]
"""Of the dead letters. Only jobs that failed pay for it."""


class HistoryWriter:
    """Stores ended jobs for `days`; 0 means for ever."""

    def __init__(self, database: Database[Document], *, days: int = 0) -> None:
        self._database, self._days = database, days
        self._prepared = False

    def store(self, jobs: Sequence[Job]) -> list[Job]:
        """Store the jobs durably, on a majority of servers. Return those that were not stored before.

        Repeating a call changes nothing. Raises HistoryUnavailable; some of the jobs may be stored then.
        """
        try:
            if not self._prepared:
                self._prepare()
            documents = [document_of(job, days=self._days) for job in jobs]
            if failed := [document for document in documents if document["state"] == JobState.FAILED]:
                self._insert(DEAD_LETTERS, self._new_dead_letters(failed))
            known = self._insert(HISTORY, documents)
        except PyMongoError as error:
            raise HistoryUnavailable(str(error)) from error
        return [job for position, job in enumerate(jobs) if position not in known] if known else list(jobs)

    def _new_dead_letters(self, documents: list[Document]) -> Iterable[Document]:
        """Make dead letters, but not of jobs that are in the history: somebody may have dropped their dead letters since."""
        ids = [document["_id"] for document in documents]
        stored = {found["_id"] for found in self._database[HISTORY].find({"_id": {"$in": ids}}, {"_id": 1})}
        return (dead_letter_of(document) for document in documents if document["_id"] not in stored)

    def _insert(self, collection: str, documents: Iterable[Document]) -> set[int]:
        """Insert documents and return the positions of those that were there already."""
        known: set[int] = set()
        first = 0
        for batch in _batches(documents):
            # The bare command costs a third less than insert_many, which builds its list three times.
            command = {
                "insert": collection,
                "documents": batch,
                "ordered": False,
                "writeConcern": DURABLE.document,
            }
            reply = self._database.command(command)
            for error in [*reply.get("writeErrors", ()), *filter(None, [reply.get("writeConcernError")])]:
                if error["code"] != _DUPLICATE:
                    raise OperationFailure(error["errmsg"], error["code"], error)
                known.add(first + error["index"])
            first += len(batch)
        return known

    def _prepare(self) -> None:
        """Make the index on the kinds of failures, and make or drop the one on the date of expiry.

        Every job pays for the latter, so it exists only where jobs expire.
        """
        self._database[DEAD_LETTERS].create_index(FAILURES_INDEX, name="failures")
        for collection in (self._database[HISTORY], self._database[DEAD_LETTERS]):
            if self._days:
                collection.create_index("expires_at", name=_EXPIRY, expireAfterSeconds=0, sparse=True)
            elif _EXPIRY in collection.index_information():
                try:
                    collection.drop_index(_EXPIRY)
                except OperationFailure as error:  # another writer was faster
                    if error.code != _INDEX_GONE:
                        raise
        self._prepared = True


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    batch_bytes = 0
    for document in documents:
        size = payload_bytes(document) + _KEY_BYTES
        if batch and batch_bytes + size > MAX_COMMAND_BYTES:
            yield batch
            batch, batch_bytes = [], 0
        batch.append(document)
        batch_bytes += size
    if batch:
        yield batch
