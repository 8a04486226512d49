"""The places between two acknowledgements, by name.

What a crash leaves behind differs from one to the next, so whoever wants to prove recovery must be able to stand at
each of them: kill the process there, let it sleep, make the next acknowledgement wait. A worker is given somebody who
is told of every place that it passes, and goes on when that returns; in production it is `nobody`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum


class Waypoint(StrEnum):
    """In the order of a life: a partition is taken, rounds go by, it is let go."""

    LOADED = "loaded"
    """A partition's changelog is in the local store, whose marker does not know of it."""
    RESTORED = "restored"
    """The changelog is in the store to its end; the partition is not claimed."""
    CLAIMED = "claimed"
    """The claim is acknowledged; pending changes of the last step may be missing from the output."""
    REPUBLISHED = "republished"
    """They are not any more; nothing was stepped."""
    DECIDED = "decided"
    """A round is computed; nothing of it has left the process."""
    BURIED = "buried"
    """Its dead letters are acknowledged."""
    PARTLY_LOGGED = "partly_logged"
    """One partition's step is in the changelog; those of others may not be."""
    LOGGED = "logged"
    """All steps of the round are in the changelog; no change is published."""
    PARTLY_PUBLISHED = "partly_published"
    """Some changes or members are acknowledged."""
    PUBLISHED = "published"
    """All are; the stores are behind."""
    PARTLY_STORED = "partly_stored"
    """One store is written."""
    ACKNOWLEDGED = "acknowledged"
    """The round is over but for the group's offset."""
    FOREIGN = "foreign"
    """Somebody else's batch was found in the changelog; what it overwrote is not yet written again."""
    REPAIRED = "repaired"
    """It is."""
    RESTING = "resting"
    """A rebalance began: what was stepped is acknowledged, nothing more is taken."""


Passing = Callable[[Waypoint], Awaitable[None]]


async def nobody(_: Waypoint) -> None:
    """Is told, and lets the worker go on."""
