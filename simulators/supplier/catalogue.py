"""What the simulated suppliers sell: products, prices and the sessions of the next days.

Prices are OCTO's integers with precision 2 (CNY fen). Sessions are computed from local start times, not stored: a
session's id is its local start with offset, as OCTO's own examples have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAYS_ON_SALE = 60


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    id: str
    title: str
    type: str
    original_minor: int
    retail_minor: int
    net_minor: int


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    id: str
    title: str
    start_times: tuple[str, ...]
    minutes: int
    units: tuple[Unit, ...]

    def unit(self, unit_id: str) -> Unit | None:
        return next((unit for unit in self.units if unit.id == unit_id), None)


@dataclass(frozen=True, slots=True, eq=False)  # by identity: they key the cache of sessions
class Product:
    """`all_day` products have a date and opening hours; `dated` ones need a session to be booked."""

    id: str
    reference: str
    title: str
    description: str
    time_zone: str
    options: tuple[Option, ...]
    dated: bool = True
    all_day: bool = False
    delivery_formats: tuple[str, ...] = ("QRCODE",)

    def option(self, option_id: str) -> Option | None:
        return next((option for option in self.options if option.id == option_id), None)


@dataclass(frozen=True, slots=True)
class Session:
    """One bookable start. Times are local with offset; sales end when an all-day session ends or any other starts."""

    id: str
    starts_at: datetime
    ends_at: datetime
    cutoff_at: datetime


@dataclass(frozen=True, slots=True)
class House:
    """A supplier out of the box. `character` is the fault rates it is known for; nothing applies them by itself."""

    name: str
    title: str
    products: tuple[Product, ...]
    deduplicates: bool
    character: dict[str, float]

    def product(self, product_id: str) -> Product | None:
        return next((product for product in self.products if product.id == product_id), None)


def _adult_and_child(retail_minor: int) -> tuple[Unit, ...]:
    """Adult, child and senior from the adult's price; net is 85 % of retail, floored to whole fen."""
    shares = (("adult", "Adult", "ADULT", 100), ("child", "Child", "CHILD", 50), ("senior", "Senior", "SENIOR", 70))
    units = []
    for unit_id, title, kind, percent in shares:
        retail = retail_minor * percent // 100
        units.append(Unit(unit_id, title, kind, retail, retail, retail * 85 // 100))
    return tuple(units)


def _seats(prefix: str, **retail_minor: int) -> tuple[Unit, ...]:
    return tuple(
        Unit(f"{prefix}-{name}", name.replace("_", " ").title(), "ADULT", retail, retail, retail * 90 // 100)
        for name, retail in retail_minor.items()
    )


_LANTERN_NIGHT = "LANTERN-NIGHT"  # sold by northgate and grandstand: a catalogue joins them by this reference

NORTHGATE = House(
    "northgate",
    "Northgate Museums",
    (
        Product(
            "ng-bronze-age",
            "NG-BRONZE",
            "Bronze Age: the Permanent Collection",
            "General admission to the permanent collection, any time within opening hours of the chosen day.",
            "Asia/Shanghai",
            (Option("DEFAULT", "General admission", ("09:00",), 480, _adult_and_child(8000)),),
            all_day=True,
        ),
        Product(
            "ng-silk-roads",
            "NG-SILK",
            "Silk Roads: a Special Exhibition",
            "Timed entry; ninety minutes inside.",
            "Asia/Shanghai",
            (
                Option("DEFAULT", "Timed entry", ("09:30", "11:30", "13:30", "15:30"), 90, _adult_and_child(12000)),
                Option("GUIDED", "With a guide", ("10:00", "14:00"), 120, _adult_and_child(22000)),
            ),
        ),
        Product(
            "ng-lantern-night",
            _LANTERN_NIGHT,
            "Lantern Night at the North Gate",
            "An evening walk among lanterns.",
            "Asia/Shanghai",
            (Option("DEFAULT", "Evening entry", ("18:30", "20:00"), 90, _adult_and_child(15000)),),
        ),
        Product(
            "ng-open-pass",
            "NG-PASS",
            "Three Museums Pass",
            "Open-dated: one visit to each of three museums.",
            "Asia/Shanghai",
            (Option("DEFAULT", "Pass", ("09:00",), 480, _adult_and_child(20000)),),
            dated=False,
            all_day=True,
        ),
    ),
    True,
    {"slow": 0.2, "confirm_late": 0.05},
)

CINEPLEX = House(
    "cineplex",
    "Cineplex Nine",
    (
        Product(
            "cx-river-of-stars",
            "CX-RIVER",
            "River of Stars",
            "Feature film, 128 minutes.",
            "Asia/Shanghai",
            (
                Option("2D", "2D", ("10:20", "14:00", "19:30"), 128, _seats("2d", standard=4500, couch=7800)),
                Option("IMAX", "IMAX", ("16:40", "21:10"), 128, _seats("imax", standard=9000, premium=12000)),
            ),
            delivery_formats=("QRCODE", "CODE128"),
        ),
        Product(
            "cx-paper-tigers",
            "CX-TIGERS",
            "Paper Tigers",
            "Animation for families, 96 minutes.",
            "Asia/Shanghai",
            (Option("2D", "2D", ("09:40", "13:10", "17:00"), 96, _adult_and_child(4000)),),
        ),
        Product(
            "cx-opera-live",
            "CX-OPERA",
            "Opera Live: The Peony Pavilion",
            "A live transmission on the large screen.",
            "Asia/Shanghai",
            (Option("DEFAULT", "Hall 1", ("19:00",), 170, _seats("hall1", stalls=16000)),),
        ),
    ),
    False,
    {"drop_after": 0.1, "error_after": 0.03},
)

GRANDSTAND = House(
    "grandstand",
    "Grandstand Arena",
    (
        Product(
            "gs-derby",
            "GS-DERBY",
            "City Derby",
            "League football at the Riverside Stadium.",
            "Asia/Shanghai",
            (
                Option("EAST", "East stand", ("19:35",), 110, _seats("east", upper=18000, lower=28000)),
                Option("WEST", "West stand", ("19:35",), 110, _seats("west", upper=22000, box=88000)),
            ),
            delivery_formats=("QRCODE", "PDF_URL"),
        ),
        Product(
            "gs-harbour-sounds",
            "GS-SOUNDS",
            "Harbour Sounds",
            "Open-air concert.",
            "Asia/Hong_Kong",
            (Option("DEFAULT", "Standing", ("20:00",), 150, _seats("floor", standing=48000)),),
        ),
        Product(
            "gs-lantern-night",
            _LANTERN_NIGHT,
            "Lantern Night at the North Gate",
            "The same evening, our allotment.",
            "Asia/Shanghai",
            (Option("DEFAULT", "Evening entry", ("18:30", "20:00"), 90, _adult_and_child(15000)),),
        ),
    ),
    True,
    {"forget": 0.05, "contradict": 0.02, "reject": 0.05},
)

HOUSES: dict[str, House] = {house.name: house for house in (NORTHGATE, CINEPLEX, GRANDSTAND)}


@lru_cache(maxsize=16_384)
def session_at(product: Product, option: Option, day: date, start: str) -> Session:
    """The session of one local day and start time. Cached: the hot path asks for the same few again and again."""
    zone = ZoneInfo(product.time_zone)
    starts_at = datetime.combine(day, time.fromisoformat(start), zone)
    # Added in UTC, so that a session across a change of the clocks still lasts its minutes.
    ends_at = (starts_at.astimezone(UTC) + timedelta(minutes=option.minutes)).astimezone(zone)
    cutoff_at = ends_at if product.all_day else starts_at
    identity = datetime.combine(day, time(), zone) if product.all_day else starts_at
    return Session(identity.isoformat(), starts_at, ends_at, cutoff_at.astimezone(UTC))


def sessions(product: Product, option: Option, first: date, last: date, now: datetime) -> list[Session]:
    """All sessions between two local days (inclusive) within the days on sale."""
    today = now.astimezone(ZoneInfo(product.time_zone)).date()
    day, end = max(first, today), min(last, today + timedelta(days=DAYS_ON_SALE - 1))
    found: list[Session] = []
    while day <= end:
        found.extend(session_at(product, option, day, start) for start in option.start_times)
        day += timedelta(days=1)
    return found


def find_session(product: Product, option: Option, availability_id: str, now: datetime) -> Session | None:
    """The session of an id, or None where there is none on sale under it."""
    try:
        day = datetime.fromisoformat(availability_id).date()
    except ValueError:
        return None
    return next((each for each in sessions(product, option, day, day, now) if each.id == availability_id), None)
