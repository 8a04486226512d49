"""The peers' job by hand: what the Python programs of this folder share, so that only the engines differ.

    cart_abandoned   something was put into the cart and nothing bought for 30 minutes; left with the next order
    keen_browser     ten products looked at within 24 hours; left when there are fewer

benchmarks/peers_job.yaml says the same in our definition language. The hand-written form makes use of everything that
is special about it: of each user it keeps the newest cart and the times of the newest ten views, which is all that the
two questions need. It knows no late events, no duplicates and no wrong clocks; the log of the comparison has none.

A change is (segment, "entered" or "exited", instant in epoch milliseconds).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

VIEWED = "product_viewed"
ADDED = "product_added"
BOUGHT = "order_completed"
MATTERS = frozenset((VIEWED, ADDED, BOUGHT))
ABANDONED_AFTER = 30 * 60_000
DAY = 24 * 3_600_000
KEEN = 10

Change = tuple[str, str, int]
State = list[Any]
"""[instant of the newest cart or None, abandoned?, the newest ten views in order, keen?]"""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant_of(text: str) -> int:
    since = datetime.fromisoformat(text) - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def user_of(event: dict[str, Any]) -> str:
    return str(event.get("user_id") or event["anonymous_id"])


def next_due(state: State) -> int | None:
    """The next instant at which time alone changes something."""
    cart, abandoned, views, keen = state
    due = None if cart is None or abandoned else cart + ABANDONED_AFTER
    if keen and (due is None or views[0] + DAY < due):
        due = views[0] + DAY
    return due


def advance(state: State, before: int) -> list[Change]:
    """What became true below `before` because nothing came. Changes the state."""
    changes: list[Change] = []
    while (due := next_due(state)) is not None and due < before:
        if state[3] and state[2][0] + DAY == due:
            state[3] = False
            changes.append(("keen_browser", "exited", due))
        else:
            state[1] = True
            changes.append(("cart_abandoned", "entered", due))
    return changes


def apply(state: State | None, type_: str, time: int) -> tuple[State | None, list[Change]]:
    """The state after an event that matters (None if there is still nothing to remember), and what changed."""
    if state is None:
        if type_ == BOUGHT:
            return None, []
        state = [None, False, [], False]
    changes = advance(state, time)
    if type_ == VIEWED:
        views = state[2]
        views.append(time)
        if len(views) > KEEN:
            del views[0]
        if not state[3] and len(views) == KEEN and views[0] > time - DAY:
            state[3] = True
            changes.append(("keen_browser", "entered", time))
    elif type_ == ADDED:
        state[0] = time
    else:
        if state[1]:
            changes.append(("cart_abandoned", "exited", time))
        state[0], state[1] = None, False
    return state, changes
