"""Membership: who is in a segment, since when, and what ends it.

A membership is a small state machine per user and segment (and key, with `for_each`), run at one instant at a time:

    not a member ── when is true, exit is not, armed ──▶ member ── exit, ttl, when false, retraction ──▶ not a member

Entering disarms. The segment is armed again once, at or after the exit, `when` is not true, or the anchor of its
sequence is another than at the exit: one abandoned cart is reported once, the next one again.

A late event corrects the present, not the past. If it makes `when` or `exit` end a membership that had begun after it,
the entry should never have been, and is `retracted`; also if it only moved the anchor to a later time, for then the
entry came too early. What the late event made is told by asking at the same instant before and after adding it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stream.durations import format_duration
from stream.engine.actions import Policy
from stream.engine.attachments import Attachment
from stream.engine.conditions import Condition, Explanation, Leaf
from stream.engine.decisions import (
    ANCHOR,
    ENTERED,
    ENTRIES,
    ENTRY_ID,
    EVICTED,
    FACTS,
    HELD,
    INSTANCES,
    MARK,
    MEMBER,
    SINCE,
    WAITING,
    Decision,
    Occasion,
    Rule,
    due_of,
    held_of,
    keys_held,
    with_waiting,
    without_waiting,
)
from stream.engine.profile import FOREVER, Profile
from stream.engine.summaries import KeysOf, Summary
from stream.events import Event

Anchor = Callable[[Profile, int, str | None], int | None]


class SegmentRule(Rule):
    """Decides one segment."""

    __slots__ = (
        "_anchor",
        "_dwell",
        "_exit",
        "_exit_bits",
        "_reads_traits",
        "_refers",
        "_renew",
        "_renew_bits",
        "_splits",
        "_start_bits",
        "_starts",
        "_ttl",
        "_user_bits",
        "_when",
        "keys_of",
    )

    def __init__(
        self,
        index: int,
        name: str,
        hash_: str,
        version: int | None,
        policy: Policy,
        attachments: tuple[Attachment, ...],
        *,
        when: Condition,
        exit_: Condition | None,
        exit_bits: tuple[int, ...],
        anchor: Anchor | None,
        ttl: int | None,
        min_dwell: int,
        renew: bool,
        renew_bits: int,
        for_each: str | None,
        keys_of: KeysOf | None,
        splits: tuple[Summary, ...],
        start_bits: int,
        starts: tuple[tuple[Summary, Anchor | None], ...],
        user_bits: int,
        reads_traits: bool,
        refers: bool,
    ) -> None:
        super().__init__(index, name, "segment", hash_, version, policy, attachments)
        if for_each is not None:
            self.shape = f"for_each {for_each}"
        self._when = when
        self._exit = exit_
        self._exit_bits = exit_bits
        """Per `do` in the exit, the bits of its selectors."""
        self._anchor = anchor
        self._ttl = ttl
        self._dwell = min_dwell
        self._renew = renew
        self._renew_bits = renew_bits
        """Bits of the selectors whose events renew, where no sequence does."""
        self.keys_of = keys_of
        """The keys of an event, with `for_each`."""
        self._splits = splits
        """Summaries that hold the keys of the instances."""
        self._start_bits = start_bits
        """Bits of the selectors whose events begin the instance of a key."""
        self._starts = starts
        """Summaries that know of keys that began already; of a sequence, those that give it an anchor."""
        self._user_bits = user_bits
        """Bits of the selectors whose events concern the instances of all keys."""
        self._reads_traits = reads_traits
        self._refers = refers
        """Whether it asks for other segments, so that their changes concern the instances of all keys."""

    # --- what others ask ---------------------------------------------------------------------------------------------

    def is_member(self, profile: Profile, key: str | None) -> bool:
        """Whether the user is in the segment; without a key, with any key."""
        state = profile.state(self.index)
        if state is None or state[HELD] is None:
            return False
        if self.keys_of is None:
            return bool(state[HELD][MEMBER])
        if key is not None:
            return self.is_open(profile, key)
        return bool(self.open_memberships(profile))

    def is_open(self, profile: Profile, key: str) -> bool:
        """Whether the membership of a key is open."""
        state = profile.state(self.index)
        if state is None or state[HELD] is None:
            return False
        held = held_of(state[HELD][INSTANCES].get(key))
        return held is not None and bool(held[MEMBER])

    def is_quiet(self, blank: Profile, instant: int) -> bool:
        if self.keys_of is not None:
            return True
        verdict, until, _ = self._when.holds(blank, instant, None)
        return not verdict and until == FOREVER

    def look(self, profile: Profile, event: Event, occasion: Occasion) -> None:
        assert occasion.before is not None
        for key, held in self.open_memberships(profile):
            if event.time <= held[SINCE]:
                occasion.before[(self.index, key)] = (
                    self._when.test(profile, profile.clock, key)[0],
                    self._ask_exit(profile, profile.clock, key, held)[0],
                    None if self._anchor is None else self._anchor(profile, profile.clock, key),
                )

    def note(self, profile: Profile, event: Event, matched: int) -> None:
        keys = None if self.keys_of is None else self.keys_of(event)
        for key, held in self.open_memberships(profile):
            if keys is not None and key not in keys:
                continue
            for i, bits in enumerate(self._exit_bits):
                if matched & bits and event.time >= held[ANCHOR]:
                    if held[FACTS] is None:
                        held[FACTS] = [None] * len(self._exit_bits)
                    fact = held[FACTS][i]
                    if fact is None or event.time > fact[0]:
                        held[FACTS][i] = [event.time, event.id]

    def open_memberships(self, profile: Profile) -> list[tuple[str | None, list[Any]]]:
        state = profile.state(self.index)
        if state is None or state[HELD] is None:
            return []
        if self.keys_of is None:
            return [(None, state[HELD])] if state[HELD][MEMBER] else []
        instances = [(key, held_of(instance)) for key, instance in state[HELD][INSTANCES].items()]
        return [(key, held) for key, held in instances if held is not None and held[MEMBER]]

    def forget(self, profile: Profile, key: str) -> None:
        """The key made room for another: its instance waits to be dropped by the next evaluation."""
        state = profile.state(self.index)
        if state is None or state[HELD] is None:
            return
        instances, waiting = state[HELD]
        others = without_waiting(waiting, key)
        if others == waiting and key not in instances:
            return
        state[HELD][WAITING] = others
        instances[key] = [held_of(instances.get(key)), EVICTED]
        profile.set_due(self.index, EVICTED)

    # --- the state machine -------------------------------------------------------------------------------------------

    def evaluate(self, profile: Profile, instant: int, occasion: Occasion, decisions: list[Decision]) -> bool:
        if self.keys_of is not None:
            return self._evaluate_keys(profile, instant, occasion, decisions)
        state = profile.state(self.index)
        held = None if state is None else state[HELD]
        changed, held, due, _ = self._run(profile, instant, occasion, decisions, None, held)
        if changed:
            self.state(profile)[HELD] = held
        profile.set_due(self.index, due)
        return changed

    def _evaluate_keys(
        self, profile: Profile, instant: int, occasion: Occasion, decisions: list[Decision]
    ) -> bool:
        state = profile.state(self.index)
        every: list[Any] = [{}, ""] if state is None or state[HELD] is None else state[HELD]
        instances: dict[str, Any] = every[INSTANCES]
        waiting: str = every[WAITING]
        least = earliest = profile.due_of(self.index)
        if occasion.cause == "definition_change":
            if self.index in occasion.redefined or not (instances or waiting):
                self._begin_kept(profile, instant, instances)
            asked, waiting = keys_held(every), ""
        else:
            own, waiting = self._own_keys(profile, occasion, instances, waiting)
            asked = self._asked(instances, own, instant, occasion, earliest <= instant)
        if not asked:
            return False
        changed = moved = False
        for key in asked:
            instance = instances.get(key)
            held, before = held_of(instance), due_of(instance)
            if before == EVICTED:
                changed |= self._evict(profile, decisions, key, held)
                del instances[key]
                moved = True
                continue
            one_changed, held, due, is_own = self._run(profile, instant, occasion, decisions, key, held)
            if held is not None or (due < FOREVER and not is_own):
                instances[key] = [held, due]
            elif due < FOREVER:
                instances[key] = due
            elif not is_own:
                instances[key] = None
            elif MARK in key:
                instances[key] = False
            else:
                instances.pop(key, None)
                waiting = with_waiting(waiting, key)
            changed |= one_changed
            if due < least:
                least = due
            moved |= before == earliest < due
        every[WAITING] = waiting
        if state is None or state[HELD] is None:
            self.state(profile)[HELD] = every
        if moved:
            least = min(map(due_of, instances.values()), default=FOREVER)
        if least != earliest:
            profile.set_due(self.index, least)
        return changed

    def _own_keys(
        self, profile: Profile, occasion: Occasion, instances: dict[str, Any], waiting: str
    ) -> tuple[list[str], str]:
        """The keys of the event that have an instance, or get one now since it begins them; and who else is waiting."""
        own: list[str] = []
        event = occasion.event
        if event is None or not occasion.matched:
            return own, waiting
        assert self.keys_of is not None
        begins = occasion.matched & self._start_bits
        for key in self.keys_of(event):
            if key in instances:
                own.append(key)
                continue
            others = without_waiting(waiting, key)
            if len(others) < len(waiting):
                waiting = others
                own.append(key)
            elif begins and any(split.holds_key(profile, key) for split in self._splits):
                own.append(key)
        return own, waiting

    def _begin_kept(self, profile: Profile, instant: int, instances: dict[str, Any]) -> None:
        """Makes instances of the keys whose events were seen before the segment was there, or was what it is now."""
        for summary, anchor in self._starts:
            for key in summary.keys(profile):
                if key not in instances and (anchor is None or anchor(profile, instant, key) is not None):
                    instances[key] = None

    def _asked(
        self, instances: dict[str, Any], own: list[str], instant: int, occasion: Occasion, is_due: bool
    ) -> list[str]:
        """Keys of the instances that may be another now, in order: the event's own, those due, or more."""
        event = occasion.event
        everyone = self._refers or (
            event is not None
            and (bool(occasion.matched & self._user_bits) or (self._reads_traits and bool(event.traits)))
        )
        asked = own
        if everyone or is_due:
            asked = list(own)
            for key, instance in instances.items():
                concerned = everyone and (instance is None or isinstance(instance, list))
                if (concerned or due_of(instance) <= instant) and key not in own:
                    asked.append(key)
        return asked if len(asked) < 2 else sorted(asked)

    def _evict(self, profile: Profile, decisions: list[Decision], key: str, held: list[Any] | None) -> bool:
        if held is None or not held[MEMBER]:
            return False
        seq, event_id = self.identify(profile, key)
        decisions.append(Decision(self, "exited", seq, key, event_id, [], forget=True, cause="evicted"))
        return True

    def _run(
        self,
        profile: Profile,
        instant: int,
        occasion: Occasion,
        decisions: list[Decision],
        key: str | None,
        held: list[Any] | None,
    ) -> tuple[bool, list[Any] | None, int, bool]:
        """One membership at one instant: (whether it changed state, what is held now, due instant, whether until then
        only an event of the key can begin one)."""
        when: bool | None
        is_own = False
        if held is not None and held[MEMBER]:
            when, until = self._when.test(profile, instant, key)
        else:
            when, until, is_own = self._when.holds(profile, instant, key)
            if held is None and not when:
                return False, None, until, is_own
        anchor = None if self._anchor is None else self._anchor(profile, instant, key)
        changed = False
        if held is not None and held[MEMBER]:
            if not self._end(profile, instant, occasion, decisions, key, held, when, anchor):
                if self._renews(held, occasion, when, anchor, key):
                    self._begin(profile, instant, decisions, key, anchor, held)
                    changed = True
                return changed, held, self._member_due(profile, instant, key, held, when, until), False
            changed = True
        if held is not None and (when is not True or anchor != held[ANCHOR]):
            held = None  # armed again
            changed = True
        if held is not None or when is not True:
            return changed, held, until, is_own
        verdict, exit_until = self._ask_exit(profile, instant, key, None)
        if verdict is True:
            return changed, None, min(until, exit_until), False
        held = self._begin(profile, instant, decisions, key, anchor, None)
        return True, held, self._member_due(profile, instant, key, held, when, until), False

    def _begin(
        self,
        profile: Profile,
        instant: int,
        decisions: list[Decision],
        key: str | None,
        anchor: int | None,
        renewed: list[Any] | None,
    ) -> list[Any]:
        """Enters, or renews the membership given."""
        seq, event_id = self.identify(profile, key)
        start = instant if anchor is None else anchor
        if renewed is None:
            self.state(profile)[ENTRIES] += 1
            held: list[Any] = [True, instant, instant, start, event_id, None, False]
        else:
            held = renewed
            held[SINCE], held[ANCHOR], held[ENTRY_ID] = instant, start, event_id
            if held[FACTS] is not None:
                held[FACTS] = [None if fact is None or fact[0] < start else fact for fact in held[FACTS]]
        decision = Decision(
            self,
            "entered" if renewed is None else "renewed",
            seq,
            key,
            event_id,
            reasons(self._when, profile, instant, key, True),
            held=held,
            expires_at=None if self._ttl is None else instant + self._ttl,
            entry=self.state(profile)[ENTRIES],
        )
        decisions.append(decision)
        return held

    def _renews(
        self, held: list[Any], occasion: Occasion, when: bool | None, anchor: int | None, key: str | None
    ) -> bool:
        if not self._renew or when is not True:
            return False
        if self._anchor is not None:
            return anchor is not None and anchor > held[ANCHOR]
        if occasion.event is None or not occasion.matched & self._renew_bits:
            return False
        return self.keys_of is None or key in self.keys_of(occasion.event)

    def _end(
        self,
        profile: Profile,
        instant: int,
        occasion: Occasion,
        decisions: list[Decision],
        key: str | None,
        held: list[Any],
        when: bool | None,
        anchor: int | None,
    ) -> bool:
        """Ends the membership if something does; True if so. `held` then waits to be armed."""
        exit_verdict, _ = self._ask_exit(profile, instant, key, held)
        retracted, early = self._retracts(occasion, key, held, when, exit_verdict, anchor)
        since: int = held[SINCE]
        entered: int = held[ENTERED]
        expired = self._ttl is not None and instant >= since + self._ttl
        by_condition = when is False if self._exit is None else exit_verdict is True
        disqualified = self.index in occasion.redefined and when is False
        if not (retracted or disqualified) and (
            instant < entered + self._dwell or not (expired or by_condition)
        ):
            return False
        if by_condition and self._exit is not None:
            profile.facts = held[FACTS]
            reason = reasons(self._exit, profile, instant, key, True)
        elif by_condition or retracted or disqualified:
            reason = reasons(self._when, profile, instant, key, when)
        else:
            assert self._ttl is not None
            leaf = f"ttl {format_duration(self._ttl)}"
            reason = [Leaf(leaf, [], instant - since, ">=", self._ttl, True)]
        seq, event_id = self.identify(profile, key)
        decision = Decision(self, "retracted" if retracted else "exited", seq, key, event_id, reason)
        decision.since = entered
        decisions.append(decision)
        if retracted:
            decision.retracts = held[ENTRY_ID]
            if early:
                anchor = held[ANCHOR]  # so that the segment is armed: the entry comes again when it is due
        held[:] = [False, 0, 0, anchor, "", None, False]
        return True

    def _retracts(
        self,
        occasion: Occasion,
        key: str | None,
        held: list[Any],
        when: bool | None,
        exit_verdict: bool | None,
        anchor: int | None,
    ) -> tuple[bool, bool]:
        """Whether a late event takes the entry back, and whether only for having come too early.

        An exit that `min_dwell` held back was there before the late event, so it is not what the late event made.
        """
        before = None if occasion.before is None else occasion.before.get((self.index, key))
        if before is None:
            return False, False
        when_before, exit_before, anchor_before = before
        ended = (when is False and when_before is not False) or (
            exit_verdict is True and exit_before is not True
        )
        moved = anchor is not None and anchor_before is not None and anchor > max(anchor_before, held[ANCHOR])
        return ended or moved, moved and not ended

    def _member_due(
        self,
        profile: Profile,
        instant: int,
        key: str | None,
        held: list[Any],
        when: bool | None,
        until: int,
    ) -> int:
        exit_verdict, exit_until = self._ask_exit(profile, instant, key, held)
        due = until if self._exit is None or self._renew else FOREVER
        if self._exit is not None:
            due = min(due, exit_until)
        since: int = held[SINCE]
        if self._ttl is not None and instant < since + self._ttl < due:
            due = since + self._ttl
        if exit_verdict is True or when is False:
            held_until: int = held[ENTERED] + self._dwell
            if instant < held_until < due:
                due = held_until
        return due

    def _ask_exit(
        self, profile: Profile, instant: int, key: str | None, held: list[Any] | None
    ) -> tuple[bool | None, int]:
        if self._exit is None:
            return (False, FOREVER)
        profile.facts = None if held is None else held[FACTS]
        return self._exit.test(profile, instant, key)

    def explain(self, profile: Profile, instant: int, key: str | None) -> list[Explanation]:
        found = [self._when.explain(profile, instant, key)]
        if self._exit is not None:
            profile.facts = next(
                (held[FACTS] for one, held in self.open_memberships(profile) if one == key), None
            )
            found.append(self._exit.explain(profile, instant, key))
        return found


def reasons(
    condition: Condition, profile: Profile, instant: int, key: str | None, verdict: bool | None
) -> list[Leaf]:
    """The leaves that make a condition say what it says."""
    found: list[Leaf] = []
    condition.reasons(profile, instant, key, verdict, found)
    return found
