"""A messaging system in a page: sends a reminder to everybody who abandons a cart, once.

    python examples/messaging.py --brokers localhost:9092 --outbox outbox.jsonl

It stands for whatever acts on segment changes. Three things make it right: it asks `actionable` (the definition's
policy: holdouts, frequency caps, quiet hours), it keeps what it has handled in a file, so that it sends nothing twice
even if it is killed, and what cannot be sent goes to a topic where somebody can look at it.
"""

from __future__ import annotations

import argparse
import json
import signal
from pathlib import Path

from stream.subscriber import SeenInFile, SegmentChange, Subscriber


class Mailer:
    """Writes to a file what a real one would hand to a mail service, with the change's id as the idempotency key."""

    def __init__(self, outbox: Path) -> None:
        self._outbox = outbox

    def send(self, change: SegmentChange) -> None:
        if change.type != "entered" or not change.actionable:
            return
        mail = {"id": change.event_id, "to": change.user, "about": change.segment, "at": change.effective_at}
        with self._outbox.open("a", encoding="utf-8") as file:
            file.write(json.dumps(mail) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Sends reminders of abandoned carts.")
    parser.add_argument("--brokers", default="localhost:9092")
    parser.add_argument("--topic", default="segment-changes")
    parser.add_argument("--group", default="mailer")
    parser.add_argument("--segments", default="cart_abandoned", help="joined by commas")
    parser.add_argument("--outbox", type=Path, default=Path("outbox.jsonl"))
    parser.add_argument("--dead-letters", default="mailer-dead-letters")
    options = parser.parse_args()
    mailer = Mailer(options.outbox)
    with Subscriber(
        options.brokers,
        options.group,
        topic=options.topic,
        segments=options.segments.split(","),
        seen=SeenInFile(options.outbox.with_suffix(".seen")),
        dead_letters=options.dead_letters,
    ) as subscriber:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: subscriber.stop())
        subscriber.run(mailer.send)


if __name__ == "__main__":
    main()
