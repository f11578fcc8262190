"""The typed face of the scripts: for each, what goes in and what comes out. No input or output happens here.

A command is a value; `store.Lanes` and `store.AsyncLanes` send it:

    accepted = await lanes.run(Enqueue("ann", [job], limits))
    claimed = lanes.run(Claim(limit=64, lease_seconds=30))

A docstring says what the caller must know. What a script guarantees and costs stands in its header.
"""

from laneway.lanes.commands.archiving import Archived, HoldArchiver, LeaveArchiver, Outbox
from laneway.lanes.commands.base import Arg, Command
from laneway.lanes.commands.checking import CheckKeys, CheckLanes, CheckShared, Damage, Probe
from laneway.lanes.commands.controlling import Cancel, Limit, Pause, Purge, PurgeDelayed, Resume
from laneway.lanes.commands.enqueueing import Enqueue, EnqueueLimits
from laneway.lanes.commands.inspecting import (
    InspectJob,
    InspectJobs,
    InspectLane,
    InspectLanes,
    InspectLeases,
    InspectRing,
    InspectTypes,
    InspectWait,
)
from laneway.lanes.commands.logging import InspectLog, Log, NewLines
from laneway.lanes.commands.permits import GRANTED, Asking, CallWaiters, Permit
from laneway.lanes.commands.presence import (
    Connection,
    Disconnection,
    PresenceDisconnect,
    PresenceForget,
    PresenceHeartbeat,
    PresenceInspect,
    PresenceLogout,
    PresenceSweep,
    UserPresence,
)
from laneway.lanes.commands.repairing import (
    WORKER_LOSS_LIMITS,
    Expire,
    Lose,
    Reassert,
    Turns,
    WorkerLossLimits,
)
from laneway.lanes.commands.reporting import InspectReports, Report, Reported, ReportKind
from laneway.lanes.commands.selecting import InspectSelection, LiveJob, Piece
from laneway.lanes.commands.serving import CANCELLED, Claim, Finish, Progress, Release, Renew, Start
from laneway.lanes.commands.watching import Backlog, Replay, Watch

__all__ = [
    "CANCELLED",
    "GRANTED",
    "WORKER_LOSS_LIMITS",
    "Archived",
    "Arg",
    "Asking",
    "Backlog",
    "CallWaiters",
    "Cancel",
    "CheckKeys",
    "CheckLanes",
    "CheckShared",
    "Claim",
    "Command",
    "Connection",
    "Damage",
    "Disconnection",
    "Enqueue",
    "EnqueueLimits",
    "Expire",
    "Finish",
    "HoldArchiver",
    "InspectJob",
    "InspectJobs",
    "InspectLane",
    "InspectLanes",
    "InspectLeases",
    "InspectLog",
    "InspectReports",
    "InspectRing",
    "InspectSelection",
    "InspectTypes",
    "InspectWait",
    "LeaveArchiver",
    "Limit",
    "LiveJob",
    "Log",
    "Lose",
    "NewLines",
    "Outbox",
    "Pause",
    "Permit",
    "Piece",
    "PresenceDisconnect",
    "PresenceForget",
    "PresenceHeartbeat",
    "PresenceInspect",
    "PresenceLogout",
    "PresenceSweep",
    "Probe",
    "Progress",
    "Purge",
    "PurgeDelayed",
    "Reassert",
    "Release",
    "Renew",
    "Replay",
    "Report",
    "ReportKind",
    "Reported",
    "Resume",
    "Start",
    "Turns",
    "UserPresence",
    "Watch",
    "WorkerLossLimits",
]
