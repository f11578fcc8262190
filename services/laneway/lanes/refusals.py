"""Why Redis does not do what we ask: the client's errors, grouped by what an operator has to do about them."""

from __future__ import annotations

import errno
from enum import StrEnum

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from laneway.lanes.errors import ScriptFailed, StoreUnavailable


class Reason(StrEnum):
    """Why the store is unavailable, in words for people and for labels of metrics."""

    NO_ANSWER = "Redis does not answer"
    NO_DESCRIPTORS = "this process has no file descriptor left"
    NO_MEMORY = "Redis has no memory left"
    READ_ONLY = "Redis is a read-only replica"
    LOG_IN = "Redis refuses the user or the password"
    ACL = "Redis's ACL refuses a command or a key"
    TOO_OLD = "Redis is older than 7.0"
    LOADING = "Redis is loading its data"
    NO_DISK = "Redis cannot write to its disk"
    TOO_FEW_REPLICAS = "Redis has too few replicas"
    BUSY = "Redis is busy with a script"
    NO_DATABASE = "Redis has no database of this number"
    CLUSTER = "Redis is a cluster whose node does not hold our keys"


_CLASSES: tuple[tuple[type[RedisError], Reason], ...] = (
    (OutOfMemoryError, Reason.NO_MEMORY),
    (ReadOnlyError, Reason.READ_ONLY),
    (NoPermissionError, Reason.ACL),
    (AuthenticationError, Reason.LOG_IN),
    (AuthorizationError, Reason.LOG_IN),
    (BusyLoadingError, Reason.LOADING),
    (ClusterDownError, Reason.CLUSTER),
    (MovedError, Reason.CLUSTER),
)
_TEXTS = (
    ("MISCONF", Reason.NO_DISK),
    ("NOREPLICAS", Reason.TOO_FEW_REPLICAS),
    ("UNBLOCKED", Reason.READ_ONLY),  # ends a blocked call when the server becomes a replica
    ("BUSY", Reason.BUSY),
    ("UNKILLABLE", Reason.BUSY),
    ("WRONGPASS", Reason.LOG_IN),
    ("NOAUTH", Reason.LOG_IN),
    ("DB index is out of range", Reason.NO_DATABASE),
    ("SELECT is not allowed in cluster mode", Reason.NO_DATABASE),
    ("unexpected symbol near '#'", Reason.TOO_OLD),  # Redis 6 does not know `#!lua`
    ("unknown command", Reason.TOO_OLD),
    ("acl_check_cmd", Reason.TOO_OLD),
    ("The user executing the script can't", Reason.ACL),  # Redis 7.0 inside scripts
    ("ACL failure in script", Reason.ACL),  # later ones
)
"""Errors that the client has no class for begin with a code, or contain a text of their own."""


def reason_of(error: Exception) -> Reason | None:
    """Return why Redis did not do what was asked. None: it did, and the script itself failed."""
    if _is_starved(error):
        return Reason.NO_DESCRIPTORS
    for kind, reason in _CLASSES:
        if isinstance(error, kind):
            return reason
    text = str(error)
    for part, reason in _TEXTS:
        if part in text:
            return reason
    return None if type(error) is ResponseError else Reason.NO_ANSWER


def _is_starved(error: BaseException | None) -> bool:
    """Whether the client failed for lack of descriptors. It chains the system's error, or mentions it in its own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return True
        error = error.__cause__ or error.__context__
    return False


def error_of(error: Exception, script: str = "") -> StoreUnavailable | ScriptFailed:
    """Return our error for one of the client's. `script`: the script that it was about."""
    what = f"{script}: {error}" if script else str(error) or type(error).__name__
    reason = reason_of(error)
    return ScriptFailed(what) if reason is None else StoreUnavailable(f"{reason} ({what})", reason)
