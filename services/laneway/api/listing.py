"""The query parameters of lists of jobs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from pydantic import AwareDatetime, BeforeValidator, Field

from laneway.api.deps import Before
from laneway.api.problem import bad_request
from laneway.lanes.model import ID_LENGTH, JobState, us_at
from laneway.storage.job_query import NEVER_US, JobQuery


def no_number(value: Any) -> Any:
    """Refuse a Unix time: pydantic would take one, and the documentation asks for RFC 3339, which has colons."""
    if not isinstance(value, str) or ":" not in value:
        raise ValueError("give a time such as 2026-11-28T18:00:00Z")
    return value


_Time = Annotated[AwareDatetime, BeforeValidator(no_number)]


async def _query(
    state: Annotated[
        list[JobState] | None, Query(description="Only jobs in this state; repeat it for several.")
    ] = None,
    type: Annotated[str, Query(max_length=512, description="Only jobs of this type.")] = "",  # noqa: A002 - its name in the API
    schedule: Annotated[
        str, Query(max_length=64, description="Only jobs that this schedule has enqueued.")
    ] = "",
    id: Annotated[  # noqa: A002 - its name in the API
        str,
        Query(pattern=rf"^[0-9a-f]{{0,{ID_LENGTH}}}$", description="Only jobs whose id begins with this."),
    ] = "",
    job_id: Annotated[
        list[Annotated[str, Field(pattern=rf"^[0-9a-f]{{{ID_LENGTH}}}$")]] | None,
        Query(max_length=100, description="Only the job with this id; repeat it for several, 100 at most."),
    ] = None,
    error: Annotated[
        str, Query(max_length=200, description="Only jobs whose error has this text in it, in any case.")
    ] = "",
    since: Annotated[_Time | None, Query(description="Only jobs accepted at this time or later.")] = None,
    until: Annotated[_Time | None, Query(description="Only jobs accepted before this time.")] = None,
    order: Annotated[Literal["newest", "oldest"], Query(description="Which jobs come first.")] = "newest",
    before: Before = "",
    after: Annotated[
        str,
        Query(
            pattern=rf"^([0-9a-f]{{{ID_LENGTH}}})?$",
            description="As `before`, where the oldest come first.",
        ),
    ] = "",
) -> JobQuery:
    unfit, fit = ("before", "after") if order == "oldest" else ("after", "before")
    if before if order == "oldest" else after:
        raise bad_request(f"with order={order} send `{fit}`, not `{unfit}`", f"#/query/{unfit}")
    return JobQuery(
        states=frozenset(state or ()),
        type=type,
        schedule=schedule,
        ids=frozenset(job_id or ()),
        id_prefix=id,
        error=error,
        since_us=us_within(since, 0),
        until_us=us_within(until, NEVER_US),
        oldest_first=order == "oldest",
        cursor=after or before,
    )


Listing = Annotated[JobQuery, Depends(_query)]
"""Which jobs the caller asks for."""


def us_within(moment: AwareDatetime | None, default: int) -> int:
    """Return microseconds since 2020, within what ids can hold; `default` if there is no moment."""
    if moment is None:
        return default
    return min(max(0, us_at(moment)), NEVER_US)
