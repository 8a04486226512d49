"""What came out of a play against what had to come out."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, fields

from stream.instants import parse_instant
from tests.faults.shop import Shop
from tests.kafka.harness import Deployment


@dataclass
class Verdict:
    """A line of the table. All but `injected`, `events`, `expected`, `repeated` and `recovery` must be zero."""

    fault: str
    injected: int
    events: int
    expected: int
    lost: int
    invented: int
    out_of_order: int
    repeated: int
    recovery: float
    """Seconds from the fault until a worker was ready again, at worst."""

    @property
    def good(self) -> bool:
        return not (self.lost or self.invented or self.out_of_order) and self.injected > 0


def judge(fault: str, injected: int, recovery: float, deployment: Deployment, shop: Shop) -> Verdict:
    """Reads the outputs. AssertionError where more than the changes is wrong: members, dead letters, carts."""
    published = deployment.read("changes")
    found = {record.value or b"" for record in published}
    last: dict[tuple[bytes | None, str], int] = defaultdict(int)
    out_of_order = 0
    carts = set()
    ids = set()
    for record in published:
        change = json.loads(record.value or b"")
        ids.add(change["event_id"])
        segment, seq = change["segment"]["key"], change["seq"]
        if segment == "cart_abandoned":
            carts.add((change["user"]["id"], change["type"], parse_instant(change["effective_at"]), seq))
        place = (record.key, segment)
        if seq > last[place]:
            out_of_order += seq != last[place] + 1
            last[place] = seq
    verdict = Verdict(
        fault,
        injected,
        len(shop.rows),
        len(shop.changes),
        len(shop.changes - found),
        len(found - shop.changes),
        out_of_order,
        len(published) - len(found),
        recovery,
    )
    if verdict.good:
        assert len(ids) == len(found), "the repeats of a change are the same to the byte"
        assert shop.carts in (None, carts)
        check_members(deployment, last)
        check_dead_letters(deployment, shop)
    return verdict


def check_members(deployment: Deployment, last: dict[tuple[bytes | None, str], int]) -> None:
    """The last change of each membership stands, once repeats of older ones were told again in their order."""
    newest = {record.key: record.value for record in deployment.read("members")}
    stands = {}
    for key, value in newest.items():
        segment, user, _ = json.loads(key or b"")
        stands[user.encode(), segment] = json.loads(value or b"")["seq"]
    assert stands == last


def check_dead_letters(deployment: Deployment, shop: Shop) -> None:
    """Each record that cannot be read is there, at least once."""
    buried = set()
    for record in deployment.read("dead_letters"):
        headers = dict(record.headers)
        buried.add((headers["source_partition"], headers["source_offset"]))
    assert len(buried) == shop.poison


def table(verdicts: list[Verdict]) -> str:
    """As it stands in docs/reliability.md."""
    titles = [each.name.replace("_", " ") for each in fields(Verdict)]
    rows = [[_cell(getattr(each, field.name)) for field in fields(Verdict)] for each in verdicts]
    lines = ["| " + " | ".join(titles) + " |", "|---" + "|---:" * (len(titles) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f} s" if value else ""
    return f"{value:,}" if isinstance(value, int) else str(value)
