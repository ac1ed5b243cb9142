"""The control API: what tests and demos use to make parties, order faults and read the book. Part of no protocol."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.common.answering import utc
from simulators.common.book import Entry, Tally
from simulators.common.callbacks import CallbackTarget
from simulators.common.faults import ForcedFault
from simulators.common.parties import P, Parties

PAGE_MAX = 1_000

Json = dict[str, Any]
Body = TypeVar("Body", bound=BaseModel)


class Unfit(Exception):
    """The request cannot be followed; answered 404 or 422 with this sentence."""

    def __init__(self, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.status = status


class FaultsBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    seed: int = 0
    rates: dict[str, float] = Field(default_factory=dict)
    params: dict[str, Any] = Field(default_factory=dict)
    deduplicates: bool | None = None


class Control(ABC, Generic[P]):
    """The routes under `/control`; a simulator says how its parties are made and what its book's entries look like."""

    def __init__(self, parties: Parties[P], tally: Tally) -> None:
        self._parties = parties
        self._tally = tally

    def routes(self) -> list[Route]:
        one = "/control/{party}"
        return [
            Route("/control", self.list_parties, methods=["GET"]),
            Route(one, self.read_party, methods=["GET"]),
            Route(one, self.put_party, methods=["PUT"]),
            Route(f"{one}/book", self.read_book, methods=["GET"]),
            Route(f"{one}/hits", self.read_hits, methods=["GET"]),
            Route(f"{one}/faults", self.put_faults, methods=["PUT"]),
            Route(f"{one}/next", self.force_next, methods=["POST"]),
            Route(f"{one}/callbacks", self.put_callbacks, methods=["PUT"]),
            Route(f"{one}/reset", self.reset, methods=["POST"]),
        ]

    @abstractmethod
    async def changed_party(self, request: Request, name: str, known: P | None) -> P:
        """The settings that a PUT asks for: of a new party, or of the known one with what is left out as it is."""

    @abstractmethod
    def entries(self, party: P, reference: str | None, order_no: str | None, after: int, limit: int) -> list[Json]:
        """The book's entries, oldest first: those of a reference or an order, else a page after a `seq`."""

    @abstractmethod
    def erase(self, party: P) -> None:
        """Empty the party's book."""

    def view(self, party: P) -> Json:
        """The settings, without secrets."""
        return party.model_dump(exclude={"callback": {"secret"}})

    async def list_parties(self, request: Request) -> Response:
        return JSONResponse({"suppliers": [self.view(party) for party in self._parties.all()]})

    async def read_party(self, request: Request) -> Response:
        return JSONResponse(self.view(self.named(request)))

    async def put_party(self, request: Request) -> Response:
        """Make a party, or change one; what is left out stays as it is."""
        name = request.path_params["party"]
        if name == "control" or not name.replace("-", "").replace("_", "").isalnum():
            raise Unfit("a party's name is letters, digits, - and _, and not `control`")
        changed = await self.changed_party(request, name, self._parties.find(name))
        self._parties.put(changed)
        return JSONResponse(self.view(changed))

    async def read_book(self, request: Request) -> Response:
        """Every booking, oldest first, in bounded pages; `reference` or `order_no` narrow it to a few at once."""
        party, query = self.named(request), request.query_params
        try:
            cursor, limit = int(query.get("cursor", "0")), int(query.get("limit", str(PAGE_MAX)))
        except ValueError as invalid:
            raise Unfit("cursor and limit are numbers") from invalid
        limit = max(1, min(limit, PAGE_MAX))
        reference, order_no = query.get("reference"), query.get("order_no")
        found = self.entries(party, None if reference is None else reference.lower(), order_no, cursor, limit)
        is_paged = reference is None and order_no is None
        next_cursor = found[-1]["seq"] if is_paged and len(found) == limit else None
        return JSONResponse({"bookings": found, "next_cursor": next_cursor})

    async def read_hits(self, request: Request) -> Response:
        """Faults that took effect, by kind, and by operation and kind; since the last reset."""
        by_operation: dict[str, dict[str, int]] = {}
        hits: Counter[str] = Counter()
        for operation, kind, count in self._tally.hits(self.named(request).name):
            hits[kind] += count
            by_operation.setdefault(operation, {})[kind] = count
        return JSONResponse({"hits": dict(hits), "by_operation": by_operation})

    async def put_faults(self, request: Request) -> Response:
        """Replace seed, rates and params as a whole; faults forced by `next` stay."""
        party, body = self.named(request), await read(request, FaultsBody)
        possible = frozenset().union(*self._parties.possible.values())
        unknown = [kind for kind in body.rates if kind not in possible]
        if unknown:
            raise Unfit(f"no such faults: {', '.join(unknown)}; there are {', '.join(sorted(possible))}")
        wrong = [kind for kind, rate in body.rates.items() if not 0 <= rate <= 1]
        if wrong:
            raise Unfit(f"rates are between 0 and 1: {', '.join(wrong)}")
        given = {"seed": body.seed, "rates": body.rates, "params": body.params, "forced": party.faults.forced}
        party.faults = fit(type(party.faults), given)
        if body.deduplicates is not None:
            party.deduplicates = fit(type(party), party.model_dump() | {"deduplicates": body.deduplicates}).deduplicates
        self._parties.put(party)
        return JSONResponse(self.view(party))

    async def force_next(self, request: Request) -> Response:
        party, forced = self.named(request), await read(request, ForcedFault)
        if forced.kind not in self._parties.possible.get(forced.operation, frozenset()):
            raise Unfit(f"{forced.kind} cannot strike {forced.operation}")
        if forced.reference is not None:
            forced.reference = forced.reference.lower()
        party.faults.forced.append(forced)
        self._parties.put(party)
        return JSONResponse({"forced": [each.model_dump() for each in party.faults.forced]})

    async def put_callbacks(self, request: Request) -> Response:
        """Call back there from now on; a body of `null` or `{}` stops it."""
        party = self.named(request)
        if (await request.body()).strip() in (b"", b"null", b"{}"):
            party.callback = None
        else:
            party.callback = await read(request, CallbackTarget)
        self._parties.put(party)
        return JSONResponse(self.view(party))

    async def reset(self, request: Request) -> Response:
        """An empty book, no faults, no hits; how the party is otherwise (token, callbacks, capacity) stays."""
        party = self.named(request)
        party.faults = type(party.faults)()
        self._parties.put(party)
        self.erase(party)
        return JSONResponse(self.view(party))

    def named(self, request: Request) -> P:
        party = self._parties.find(request.path_params["party"])
        if party is None:
            raise Unfit("no such party", 404)
        return party


async def refuse(request: Request, unfit: Exception) -> Response:
    """The one place where the control API's refusals become HTTP."""
    status = unfit.status if isinstance(unfit, Unfit) else 422
    return JSONResponse({"error": str(unfit)}, status)


async def read(request: Request, model: type[Body]) -> Body:
    """The request's body. Raises Unfit."""
    try:
        return model.model_validate_json(await request.body() or b"{}")
    except ValidationError as invalid:
        raise _unfit(invalid) from invalid


def fit(model: type[Body], values: Json) -> Body:
    """Values as a model. Raises Unfit."""
    try:
        return model.model_validate(values)
    except ValidationError as invalid:
        raise _unfit(invalid) from invalid


def entry_view(entry: Entry) -> Json:
    """What every book says of an entry; times are ISO 8601 in UTC."""
    return {
        "seq": entry.seq, "id": entry.id, "supplier": entry.supplier, "reference": entry.reference,
        "order_no": entry.order_no, "status": entry.status, "created_at": utc(entry.created_at),
        "confirmed_at": utc(entry.confirmed_at), "cancelled_at": utc(entry.cancelled_at),
        "history": [{"status": status, "at": utc(at)} for status, at in entry.history],
    }  # fmt: skip


def _unfit(invalid: ValidationError) -> Unfit:
    return Unfit(json.dumps(json.loads(invalid.json(include_url=False, include_input=False))))
