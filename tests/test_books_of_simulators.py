"""What the outside world saw is read from every simulator that has a book of bookings."""

from __future__ import annotations

import socket
from pathlib import Path
from uuid import uuid4

import httpx2

import inspecting
from settings import Settings
from simulators.supplier.serving import serving as serving_suppliers
from simulators.topup.serving import serving as serving_operators
from tests.simulators.test_topup_simulator import Operator


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def a_closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port: int = closed.getsockname()[1]
    return port


async def test_books_are_read_from_whoever_answers_and_not_at_all_without_the_ticket_suppliers(tmp_path: Path) -> None:
    reference = str(uuid4())
    with serving_suppliers(tmp_path / "s") as suppliers, serving_operators(tmp_path / "o") as operators:
        async with httpx2.AsyncClient(trust_env=False) as client:
            await Operator(client, operators, "mobilink").recharge(reference)
        both = Settings(simulator_port=port_of(suppliers), topup_simulator_port=port_of(operators))
        entries = await inspecting.read_books(both)
        assert entries is not None
        assert [(entry.supplier_id, entry.reference, entry.is_confirmed) for entry in entries] == [
            ("mobilink", reference, True)
        ]
        alone = both.model_copy(update={"topup_simulator_port": a_closed_port()})
        assert await inspecting.read_books(alone) == []
        gone = both.model_copy(update={"simulator_port": a_closed_port()})
        assert await inspecting.read_books(gone) is None
