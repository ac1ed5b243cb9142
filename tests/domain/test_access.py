"""Who may do what: grants, windows, resources and roles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from domain.access import (
    DISTRIBUTOR_DEFAULTS,
    HOUSE,
    ROLE_ACTIONS,
    USER_ACTIONS,
    Action,
    Fence,
    Grant,
    Principal,
    PrincipalKind,
    Resource,
    ResourceKind,
    Role,
    distributor_grants,
    permits,
    role_grants,
    user_grants,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ORDER, READ = Action.ORDER_CREATE, Action.CATALOG_READ
TRAIN = Resource(product_id="prd_train", supplier_id="sup_rail", category_ids=("cat_travel", "cat_rail"))


def test_nothing_is_permitted_without_a_grant() -> None:
    assert not permits([], ORDER, None, NOW)


def test_a_grant_permits_its_action_and_no_other() -> None:
    grants = [Grant(ORDER)]
    assert permits(grants, ORDER, TRAIN, NOW)
    assert not permits(grants, READ, TRAIN, NOW)


@pytest.mark.parametrize(("offset_s", "open_"), [(-1, False), (0, True), (59, True), (60, False), (61, False)])
def test_a_window_holds_from_its_first_moment_until_before_its_last(offset_s: int, open_: bool) -> None:
    grant = Grant(ORDER, valid_from=NOW, valid_to=NOW + timedelta(seconds=60))
    assert permits([grant], ORDER, None, NOW + timedelta(seconds=offset_s)) is open_


@pytest.mark.parametrize(
    ("kind", "resource_id", "covered"),
    [
        (ResourceKind.ALL, "", True),
        (ResourceKind.PRODUCT, "prd_train", True),
        (ResourceKind.PRODUCT, "prd_bus", False),
        (ResourceKind.SUPPLIER, "sup_rail", True),
        (ResourceKind.SUPPLIER, "sup_bus", False),
        (ResourceKind.CATEGORY, "cat_travel", True),
        (ResourceKind.CATEGORY, "cat_art", False),
    ],
)
def test_a_grant_covers_what_its_resource_contains(kind: ResourceKind, resource_id: str, covered: bool) -> None:
    assert permits([Grant(ORDER, resource_kind=kind, resource_id=resource_id)], ORDER, TRAIN, NOW) is covered


def test_a_grant_of_one_product_does_not_cover_a_resource_without_a_product() -> None:
    grant = Grant(ORDER, resource_kind=ResourceKind.PRODUCT, resource_id="prd_train")
    assert not permits([grant], ORDER, Resource(), NOW)


def test_a_route_asks_for_leave_over_anything_at_all() -> None:
    grant = Grant(ORDER, resource_kind=ResourceKind.PRODUCT, resource_id="prd_train")
    assert permits([grant], ORDER, None, NOW)


def test_every_role_may_ask_who_it_is_and_none_places_orders() -> None:
    for role in Role:
        operator = Principal(PrincipalKind.OPERATOR, "opr_1", role, role_grants(role))
        assert operator.permits(Action.SELF_READ, NOW)
        assert not operator.permits(Action.ORDER_CREATE, NOW)


def test_accounts_are_written_by_admins_alone() -> None:
    assert {role for role in Role if Action.ACCOUNT_WRITE in ROLE_ACTIONS[role]} == {Role.ADMIN}


def test_support_decides_nothing() -> None:
    assert not ROLE_ACTIONS[Role.SUPPORT] & {Action.ORDER_DECIDE, Action.ORDER_REVIEW, Action.EXCEPTION_DECIDE}


def test_distributors_cannot_be_granted_what_steers_the_platform() -> None:
    assert not any(str(action).endswith((":write", ":decide", ":review")) for action in DISTRIBUTOR_DEFAULTS)


def test_a_distributor_without_grants_may_still_ask_who_it_is() -> None:
    caller = Principal(PrincipalKind.DISTRIBUTOR, "dst_1", grants=distributor_grants([]))
    assert caller.actions(NOW) == {Action.SELF_READ}
    assert caller.ref == "distributor/dst_1"


def test_a_distributor_is_its_own_fence_and_an_operator_has_none() -> None:
    assert Principal(PrincipalKind.DISTRIBUTOR, "dst_1").distributor_id == "dst_1"
    assert Principal(PrincipalKind.OPERATOR, "opr_1", Role.SUPPORT).distributor_id is None


def test_each_kind_of_caller_has_its_fence() -> None:
    shopper, distributor = Principal(PrincipalKind.USER, "usr-1"), Principal(PrincipalKind.DISTRIBUTOR, "dst_1")
    assert shopper.fence == Fence(HOUSE, "usr-1")
    assert distributor.fence == Fence("dst_1")
    assert Principal(PrincipalKind.OPERATOR, "opr_1", Role.SUPPORT).fence == Fence()


@pytest.mark.parametrize(
    ("fence", "held_back"),
    [
        (Fence(), (False, False, False, False)),
        (Fence("dst_1"), (False, False, True, True)),
        (Fence(HOUSE, "usr-1"), (True, True, False, True)),
    ],
)
def test_a_fence_lets_through_what_is_its_callers(fence: Fence, held_back: tuple[bool, ...]) -> None:
    things = (("dst_1", "usr-1"), ("dst_1", None), (HOUSE, "usr-1"), (HOUSE, "usr-2"))
    assert tuple(fence.holds_back(*thing) for thing in things) == held_back


def test_shoppers_neither_confirm_nor_see_events_nor_steer() -> None:
    granted = {grant.action for grant in user_grants()}
    assert granted == USER_ACTIONS
    assert granted.isdisjoint({Action.ORDER_CONFIRM, Action.EVENT_READ, Action.ACCOUNT_READ, Action.EXCEPTION_READ})
    assert not any("write" in action for action in granted)
