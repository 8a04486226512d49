"""For systems that act on segment changes: every change once, in the user's order, whatever happens on either side.

    from stream.subscriber import Subscriber

    with Subscriber("localhost:9092", "mailer", segments=["cart_abandoned"]) as subscriber:
        for change in subscriber:
            send_a_mail(change)

Workers publish each change at least once. `seq` rises by one for each user and segment, so whoever keeps the last seq
of each and drops what is not above it has every change exactly once; a `Seen` keeps it. The consumer group's offsets
are committed after the changes were handled, never before.

It is built on kafka-python, because handling a change is mostly waiting for somebody else's system: a plain loop needs
no event loop, works in any program, and kafka-python is there already, without a C library.
"""

from stream.subscriber.changes import SegmentChange, UnreadableChangeError
from stream.subscriber.seen import Seen, SeenInFile, SeenInMemory
from stream.subscriber.subscriber import Subscriber, TryAgainError

__all__ = [
    "Seen",
    "SeenInFile",
    "SeenInMemory",
    "SegmentChange",
    "Subscriber",
    "TryAgainError",
    "UnreadableChangeError",
]
