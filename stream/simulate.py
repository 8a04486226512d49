"""A simulated shop: the same seed gives the same events, byte for byte.

Shoppers come in their own rhythm, mostly in the evening, look at products of the few categories they like, put some
into the cart, and some of them buy, at once or the next day. As in a real shop not everything arrives well: phones
without a connection deliver a visit late, retries deliver an event twice, some phones' clocks are wrong, and some
visitors never say who they are. Lines come in the order of arrival (`received_at`).

Only `random()` of Python's Mersenne Twister is used: it is what Python promises to keep the same over its versions.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from stream.durations import DAY, HOUR, MINUTE, SECOND
from stream.instants import format_instant, parse_instant

START = parse_instant("2026-09-01T00:00:00Z")
EVENTS_PER_VISIT = 5.3
"""About; with it a rate of events becomes a rhythm of visits."""

_CATEGORIES = {
    "shirts": (19, 79),
    "trousers": (39, 129),
    "shoes": (49, 189),
    "bags": (29, 249),
    "coffee": (6, 24),
    "kitchen": (9, 149),
    "books": (8, 39),
    "toys": (9, 69),
    "garden": (5, 199),
    "audio": (25, 399),
}
_ADJECTIVES = ("Plain", "Fine", "Soft", "Bright", "Old", "Light", "Warm", "Small")
_BRANDS = ("Nord", "Alba", "Mira", "Kito", "Lund", "Orsa")
_DEVICES = (
    ("web", '"device":"desktop","os":"linux"'),
    ("web", '"device":"desktop","os":"windows"'),
    ("web", '"device":"mobile","os":"android"'),
    ("ios", '"device":"mobile","os":"ios","app_version":"7.2.0"'),
    ("android", '"device":"mobile","os":"android","app_version":"7.1.3"'),
)
_CITIES = (
    ("KR", "Seoul", "Asia/Seoul", 9),
    ("DE", "Berlin", "Europe/Berlin", 1),
    ("US", "Chicago", "America/Chicago", -6),
    ("BR", "Recife", "America/Recife", -3),
)


@dataclass(frozen=True, slots=True)
class Shop:
    """What to simulate. `rate`: events per user and day, on average over all users."""

    users: int = 1_000
    days: float = 14
    seed: int = 1
    rate: float = 2.0
    start: int = START


def simulate(shop: Shop) -> Iterator[bytes]:
    """The events of the shop as lines of canonical JSON (without line feeds), in order of arrival."""
    return _Simulation(shop).lines()


@dataclass(slots=True)
class _Product:
    json: str  # an item without its closing brace
    price: int  # in cents


class _Shopper:
    """One visitor: what stays the same from visit to visit, and what is in the cart."""

    __slots__ = ("cart", "context", "gap", "greeting", "hour", "identity", "keen", "likes", "offline", "skew")

    def __init__(self, number: int, random: Random, gap: float, catalogue: list[list[_Product]]) -> None:
        chance = random.random
        channel, device = _DEVICES[int(chance() * len(_DEVICES))]
        country, city, zone, offset = _CITIES[int(chance() ** 2 * len(_CITIES))]
        anonymous = f'"anonymous_id":"a-{number:06x}"'
        known = chance() < 0.85
        self.identity = f'"user_id":"u-{number:06d}",{anonymous}' if known else anonymous
        self.context = f'"channel":"{channel}","context":{{{device},"country":"{country}","city":"{city}"}}'
        self.hour = (18 + 5 * (chance() + chance() - 1) - offset) % 24
        # A few come often and most seldom: gaps are spread log-normally around the mean.
        self.gap = gap * math.exp(1.2 * (chance() + chance() + chance() - 1.5) + 0.1)
        self.keen = 0.03 + 0.25 * chance() ** 2
        self.likes = [catalogue[int(chance() * len(catalogue))] for _ in range(3)]
        self.cart: list[tuple[_Product, int]] = []
        self.offline = 0.04 if channel != "web" else 0.002
        self.skew = 0
        if channel != "web" and chance() < 0.04:
            self.skew = (365 * DAY, 3 * HOUR, 20 * MINUTE, -2 * HOUR)[int(chance() * 4)]
        self.greeting = ""
        if known:
            birthday = (
                f"{1950 + int(chance() * 55)}-{1 + int(chance() * 12):02d}-{1 + int(chance() * 28):02d}"
            )
            consent = "true" if chance() < 0.7 else "false"
            self.greeting = (
                f'"traits":{{"birthday":"{birthday}","city":"{city}","timezone":"{zone}",'
                f'"consent":{{"marketing":{consent}}}}}'
            )


class _Simulation:
    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._random = Random(shop.seed)
        self._chance = self._random.random
        self._events = 0
        self._orders = 0
        self._hours: dict[int, str] = {}
        self._out: list[tuple[int, int, str]] = []  # (received, number, line)
        self._catalogue = [self._shelf(*each) for each in enumerate(_CATEGORIES.items())]

    def lines(self) -> Iterator[bytes]:
        shop, chance = self._shop, self._chance
        gap = EVENTS_PER_VISIT / shop.rate * DAY
        shoppers = [_Shopper(number, self._random, gap, self._catalogue) for number in range(shop.users)]
        end = shop.start + int(shop.days * DAY)
        visits = [
            (self._next_visit(shop.start - DAY, shopper), index) for index, shopper in enumerate(shoppers)
        ]
        heapq.heapify(visits)
        out = self._out
        slice_end = shop.start
        while visits:
            # Nothing that starts later can arrive earlier: what arrived before the slice's end is final.
            slice_end += HOUR
            while visits and visits[0][0] < slice_end:
                start, index = visits[0]
                shopper = shoppers[index]
                self._visit(start, shopper)
                again = self._next_visit(start, shopper)
                if shopper.cart and chance() < 0.35:  # comes back for the cart
                    again = start + int((2 + 22 * chance()) * HOUR)
                if again < end:
                    heapq.heapreplace(visits, (again, index))
                else:
                    heapq.heappop(visits)
            if visits and visits[0][0] >= end:
                visits.clear()
            out.sort()
            final = len(out)
            if visits:
                final = next((place for place, entry in enumerate(out) if entry[0] >= slice_end), final)
            for _, _, line in out[:final]:
                yield line.encode()
            del out[:final]

    def _next_visit(self, after: int, shopper: _Shopper) -> int:
        """Some days later at about the shopper's hour."""
        days = -math.log(1 - self._chance()) * shopper.gap
        moment = after + max(int(days), 3 * HOUR)
        day = moment - moment % DAY
        spread = (self._chance() + self._chance() - 1) * 4
        at = day + int((shopper.hour + spread) % 24 * HOUR)
        if at > after:
            return max(at, self._shop.start)
        return at + (DAY if at + DAY >= self._shop.start else 2 * DAY)

    def _visit(self, start: int, shopper: _Shopper) -> None:
        chance = self._chance
        session = f'"session_id":"s-{self._events:x}",{shopper.context}'
        delay = int(chance() * 2 * HOUR) if chance() < shopper.offline else 0
        now = start + int(chance() * HOUR / 4)

        def emit(type_: str, body: str = "") -> None:
            nonlocal now
            self._emit(type_, shopper, now, delay, f"{session},{body}" if body else session)
            # People pause for 5 to 125 seconds, more often shortly.
            now += 5 * SECOND + int(120 * SECOND * chance() ** 2)

        if shopper.greeting:
            emit("user_identified", shopper.greeting)
            shopper.greeting = ""
        elif chance() < 0.15:
            emit("signed_in")
        if chance() < 0.6:
            emit("page_viewed", '"props":{"page":"home"}')
        wanted = len(shopper.cart)
        while chance() < 0.72:
            shelf = (
                shopper.likes[int(chance() ** 2 * 3)]
                if chance() < 0.9
                else self._catalogue[int(chance() * 10)]
            )
            product = shelf[int(chance() ** 2 * len(shelf))]
            item = f'"items":[{product.json}}}]'
            emit("product_viewed", item)
            if chance() < 0.1:
                emit("product_viewed", item)  # looks twice
            if chance() < shopper.keen:
                quantity = 1 if chance() < 0.85 else 2
                emit("product_added", f'"items":[{product.json},"quantity":{quantity}}}]')
                shopper.cart.append((product, quantity))
        if not shopper.cart:
            return
        if chance() < 0.08:
            product, quantity = shopper.cart.pop(0)
            emit("product_removed", f'"items":[{product.json},"quantity":{quantity}}}]')
        if not shopper.cart or chance() > (0.75 if wanted else 0.5):
            return
        emit("cart_viewed")
        emit("checkout_started")
        if chance() < 0.7:
            self._order(emit, shopper)

    def _order(self, emit: Callable[[str, str], None], shopper: _Shopper) -> None:
        self._orders += 1
        items = ",".join(f'{product.json},"quantity":{quantity}}}' for product, quantity in shopper.cart)
        cents = sum(product.price * quantity for product, quantity in shopper.cart)
        order = f'"order_id":"o-{self._orders}","value":{cents / 100},"currency":"EUR"'
        emit("order_completed", f'{order},"items":[{items}]')
        shopper.cart.clear()
        if self._chance() < 0.03:
            emit("order_refunded", order)

    def _emit(self, type_: str, shopper: _Shopper, time: int, delay: int, body: str) -> None:
        chance = self._chance
        number = self._events = self._events + 1
        received = time + 20 + int(chance() * 400) + delay
        line = (
            f'{{"id":"e-{number:08x}","type":"{type_}","time":"{self._instant(time + shopper.skew)}",'
            f'{shopper.identity},{body},"received_at":"'
        )
        self._out.append((received, number, f'{line}{self._instant(received)}"}}'))
        if chance() < 0.002:
            again = received + 1 + int(chance() * 30 * SECOND)
            self._out.append((again, number, f'{line}{self._instant(again)}"}}'))

    def _instant(self, time: int) -> str:
        """format_instant, with the hour remembered."""
        hour, rest = divmod(time, HOUR)
        head = self._hours.get(hour)
        if head is None:
            head = self._hours[hour] = format_instant(hour * HOUR)[:14]
        seconds, thousandth = divmod(rest, 1000)
        return f"{head}{seconds // 60:02d}:{seconds % 60:02d}.{thousandth:03d}Z"

    def _shelf(self, place: int, category: tuple[str, tuple[int, int]]) -> list[_Product]:
        name, (low, high) = category
        shelf = []
        for number in range(24):
            cents = int(100 * (low + (high - low) * self._chance() ** 2)) // 10 * 10
            brand = _BRANDS[int(self._chance() * len(_BRANDS))]
            title = f"{_ADJECTIVES[number % 8]} {name} {number + 1}"
            shelf.append(
                _Product(
                    f'{{"product_id":"p-{place}{number:02d}","name":"{title}","category":"{name}",'
                    f'"brand":"{brand}","price":{cents / 100}',
                    cents,
                )
            )
        return shelf
