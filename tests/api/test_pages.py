"""Lists: every row once, in order, within bounds; and cursors that cannot be forged or carried over."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from httpx2 import AsyncClient

Maker = Callable[..., Awaitable[Any]]
ACTIONS = ["catalog:read", "order:create", "order:read", "event:read", "inventory:read"]


@pytest.fixture
async def listing(api: AsyncClient, an_operator: Maker, a_distributor: Maker) -> tuple[str, Any]:
    """The address of a list of five grants, and who may read it."""
    admin, owner = await an_operator(), await a_distributor(actions=frozenset())
    path = f"/v1/distributors/{owner.id}/grants"
    for action in ACTIONS:
        made = await api.post(path, json={"action": action}, headers=admin.once())
        assert made.status_code == 201
    return path, admin


async def test_pages_walk_every_row_once(api: AsyncClient, listing: tuple[str, Any]) -> None:
    path, admin = listing
    seen: list[str] = []
    following: str | None = f"{path}?limit=2"
    sizes = []
    while following:
        answer = await api.get(following, headers=admin.headers)
        page = answer.json()
        seen += [row["id"] for row in page["data"]]
        sizes.append(len(page["data"]))
        assert page["has_more"] is (page["next_cursor"] is not None)
        link = answer.headers.get("link")
        assert (link is not None) is page["has_more"]
        following = link.split(">")[0].lstrip("<") if link else None
    assert sizes == [2, 2, 1]
    assert len(set(seen)) == len(ACTIONS)
    assert seen == sorted(seen)


async def test_a_full_last_page_has_no_next(api: AsyncClient, listing: tuple[str, Any]) -> None:
    path, admin = listing
    page = (await api.get(f"{path}?limit=5", headers=admin.headers)).json()
    assert (len(page["data"]), page["has_more"], page["next_cursor"]) == (5, False, None)


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "9" * 30, ""])
async def test_a_limit_out_of_bounds_is_refused(api: AsyncClient, listing: tuple[str, Any], limit: str) -> None:
    path, admin = listing
    answer = await api.get(f"{path}?limit={limit}", headers=admin.headers)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/limit")


async def _cursor(api: AsyncClient, path: str, caller: Any) -> str:
    cursor: str = (await api.get(f"{path}?limit=2", headers=caller.headers)).json()["next_cursor"]
    return cursor


async def test_a_cursor_does_not_show_and_does_not_bear_tampering(api: AsyncClient, listing: tuple[str, Any]) -> None:
    path, admin = listing
    cursor = await _cursor(api, path, admin)
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    raw[-3] ^= 1
    forged = base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("=")
    for bad in (forged, cursor[:-4], "a", "", "=", "é", "x" * 1000):
        answer = await api.get(path, params={"cursor": bad}, headers=admin.headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "cursor_invalid"), bad


async def test_a_cursor_belongs_to_its_list(api: AsyncClient, listing: tuple[str, Any], a_distributor: Maker) -> None:
    path, admin = listing
    cursor = await _cursor(api, path, admin)
    other = f"/v1/distributors/{(await a_distributor()).id}/grants"
    for address in (other, "/v1/distributors"):
        answer = await api.get(address, params={"cursor": cursor}, headers=admin.headers)
        assert answer.json()["code"] == "cursor_invalid"


async def test_a_cursor_belongs_to_its_caller(api: AsyncClient, listing: tuple[str, Any], an_operator: Maker) -> None:
    path, admin = listing
    cursor = await _cursor(api, path, admin)
    answer = await api.get(path, params={"cursor": cursor}, headers=(await an_operator()).headers)
    assert answer.json()["code"] == "cursor_invalid"


async def test_the_page_size_may_change_on_the_way(api: AsyncClient, listing: tuple[str, Any]) -> None:
    path, admin = listing
    cursor = await _cursor(api, path, admin)
    page = (await api.get(path, params={"cursor": cursor, "limit": 50}, headers=admin.headers)).json()
    assert len(page["data"]) == 3
