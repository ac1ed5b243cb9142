"""Takes the rules of payment callbacks out, one at a time, and expects the story of each to fail.

`python -m tests.mutations.callback_rules` (`make mutations`) works on a copy of the tree and runs one story per rule,
about half a minute each. It seeds nothing and is bounded. It ends with 1 where a story passes without its rule, where
the unchanged tree fails, or where a rule is not found as it is written here.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STORIES = ("tests/stories/test_payment_callbacks.py", "tests/stories/test_lost_payments.py")
ROOT = Path(__file__).parent.parent.parent
NOT_COPIED = shutil.ignore_patterns(".git", ".venv*", ".tessera", "__pycache__", ".*_cache", "console", "docs")
STORY_TIMEOUT_S = 240
ALL_TIMEOUT_S = 1_200


@dataclass(frozen=True, slots=True)
class Mutation:
    """A rule, by the row of the table that it is of; without it `old` in `file` would read `new`. `story` fails then.

    `also`: other places where the same rule stands, likewise file, old and new.
    """

    row: str
    rule: str
    file: str
    old: str
    new: str
    story: str
    also: tuple[tuple[str, str, str], ...] = ()


MUTATIONS = (
    Mutation(
        "the same success twice",
        "a charge is booked once by the channel's name for it",
        "activities/charges.py",
        "if not await charges.known(cx, message.channel_id, charge.payment_id):",
        "if True:",
        "test_the_same_success_again_has_one_effect",
    ),
    Mutation(
        "callback and query together",
        "a charge is booked once, however we heard of it",
        "activities/charges.py",
        "if not await charges.known(cx, message.channel_id, charge.payment_id):",
        "if True:",
        "test_callback_and_query_together_have_one_effect",
    ),
    Mutation(
        "success after cancellation",
        "a canceled order stays canceled",
        "activities/payments.py",
        'expired=message.why == "expired"',
        "expired=True",
        "test_money_for_an_order_that_was_canceled_goes_back_and_its_buyer_sees_that",
    ),
    Mutation(
        "success after cancellation",
        "money that buys nothing goes back",
        "workflows/payment_uses.py",
        "await begin_refund(returned.refund_id)",
        "pass",
        "test_money_for_an_order_that_was_canceled_goes_back_and_its_buyer_sees_that",
    ),
    Mutation(
        "success after expiry",
        "another order is put in its place",
        "workflows/payment_uses.py",
        'if served.outcome == "gone" and target_no == part.order_no:',
        "if False:",
        "test_money_for_an_order_that_ran_out_buys_another_in_its_place",
    ),
    Mutation(
        "success after expiry",
        "the successor says whom it revives",
        "storage/order_claims.py",
        "jsonb_build_object('revives', %(order)s::bigint, 'expected_total',",
        "jsonb_build_object('expected_total',",
        "test_money_for_an_order_that_ran_out_buys_another_in_its_place",
    ),
    Mutation(
        "success after expiry",
        "the product's rule decides",
        "domain/payments.py",
        "return all(rule in allowed for rule in rules)",
        "return True",
        "test_money_that_comes_too_late_goes_back_where_the_product_wants_that",
    ),
    Mutation(
        "success after expiry",
        "only at the price that was seen",
        "activities/line_admission.py",
        "if price.amount_minor != seen.amount_minor:",
        "if False:",
        "test_money_that_comes_too_late_buys_nothing_at_another_price",
        also=(("activities/admission.py", 'expected = wish.request.get("expected_total")', "expected = None"),),
    ),
    Mutation(
        "success after expiry",
        "what no successor can serve goes back",
        "workflows/payment_uses.py",
        'if served.outcome != "served":',
        "if False:",
        "test_money_that_comes_when_the_last_one_is_sold_goes_back",
    ),
    Mutation(
        "expiry closes at the channel",
        "paid wins over closing",
        "workflows/payments.py",
        "            await self._book(self._required_plan().channel_id, answer.charges)\n"
        "            if self._undecided:",
        "            if self._undecided:",
        "test_who_has_paid_when_it_is_closed_wins",
    ),
    Mutation(
        "expiry closes at the channel",
        "closed there before the order goes",
        "workflows/payments.py",
        "answer = await self._unless_decided(self._call_close())",
        "answer = Closed()",
        "test_what_nobody_has_paid_is_closed_at_the_channel_before_its_order_goes",
    ),
    Mutation(
        "expiry closes at the channel",
        "the hold is kept while it is unclear",
        "activities/orders.py",
        "if pay_id is not None and message.expired and order.status is OrderStatus.LOCKED:",
        "if False:",
        "test_while_closing_is_unclear_the_hold_is_kept_and_a_person_hears_of_it",
    ),
    Mutation(
        "expiry closes at the channel",
        "unclear is not closed",
        "workflows/payments.py",
        "elif isinstance(answer, Closed) or",
        "elif isinstance(answer, Closed | Unclear) or",
        "test_while_closing_is_unclear_the_hold_is_kept_and_a_person_hears_of_it",
    ),
    Mutation(
        "expiry closes at the channel",
        "the alarm is raised",
        "workflows/silence.py",
        "if self._open or (now - self._since).total_seconds() < self.alarm_s:",
        "if True:",
        "test_while_closing_is_unclear_the_hold_is_kept_and_a_person_hears_of_it",
    ),
    Mutation(
        "expiry closes at the channel",
        "the alarm closes by itself",
        "workflows/silence.py",
        "        if self._open:\n            self._open = False",
        "        if False:\n            self._open = False",
        "test_while_closing_is_unclear_the_hold_is_kept_and_a_person_hears_of_it",
    ),
    Mutation(
        "two successful payments",
        "the second one goes back by itself",
        "activities/charges.py",
        "if verdict is Verdict.SURPLUS:",
        "if False:",
        "test_the_second_of_two_payments_goes_back_by_itself",
    ),
    Mutation(
        "two successful payments",
        "an order that another pay order has paid is not paid again",
        "workflows/payment_uses.py",
        'await self._return(part, "paid_otherwise")',
        "pass",
        "test_a_payment_that_was_given_up_and_comes_after_another_has_paid_goes_back",
    ),
    Mutation(
        "another amount or currency",
        "another amount is no payment",
        "domain/pay_order.py",
        "if (charge.amount_minor, charge.currency) != (self.owed.cash_minor, self.currency):",
        "if charge.currency != self.currency:",
        "test_a_wrong_amount_pays_nothing_and_goes_back_when_a_person_says_so",
    ),
    Mutation(
        "another amount or currency",
        "another currency is no payment",
        "domain/pay_order.py",
        "if (charge.amount_minor, charge.currency) != (self.owed.cash_minor, self.currency):",
        "if charge.amount_minor != self.owed.cash_minor:",
        "test_another_currency_pays_nothing_and_is_settled_otherwise_with_evidence",
    ),
    Mutation(
        "another amount or currency",
        "a person is told",
        "activities/charges.py",
        "elif verdict is not Verdict.ACCEPTED:",
        "elif verdict is Verdict.UNKNOWN:",
        "test_a_wrong_amount_pays_nothing_and_goes_back_when_a_person_says_so",
    ),
    Mutation(
        "another amount or currency",
        "settling needs evidence",
        "api/money_cases.py",
        "if body.decision in NEEDS_EVIDENCE and not body.evidence:",
        "if False:",
        "test_another_currency_pays_nothing_and_is_settled_otherwise_with_evidence",
    ),
    Mutation(
        "failed, then success",
        "success wins while the order can be served",
        "activities/charges.py",
        "if part.state is PartState.RELEASED and not await",
        "if part.state is PartState.RELEASED and await",
        "test_a_success_after_a_failure_wins_while_its_order_can_be_served",
    ),
    Mutation(
        "failed, then success",
        "else its money goes back",
        "workflows/payment_uses.py",
        'if served.outcome != "served":',
        "if False:",
        "test_a_success_after_a_failure_goes_back_where_its_order_cannot_be_served",
    ),
    Mutation(
        "success, then failed",
        "the contradiction is a case",
        "workflows/payments.py",
        "if unpaid or is_older or not isinstance(answer, PaymentFailed | Closed):",
        "if True:",
        "test_a_failure_after_the_success_is_a_case_and_reverses_nothing",
    ),
    Mutation(
        "success, then failed",
        "an older attempt's failure is none",
        "workflows/payments.py",
        "if unpaid or is_older or not",
        "if unpaid or not",
        "test_an_older_attempts_failure_that_is_told_late_is_no_contradiction",
    ),
    Mutation(
        "success, then failed",
        "the channel's time of a failure is read",
        "adapters/payments/direct_bodies.py",
        "answer = replace(answer, at=told.at)",
        "answer = replace(answer, at=None)",
        "test_an_older_attempts_failure_that_is_told_late_is_no_contradiction",
    ),
    Mutation(
        "success, then failed",
        "a process that begins anew knows when it was paid",
        "activities/payment_plans.py",
        "paid_at=pay.paid_at,",
        "paid_at=None,",
        "test_an_older_attempts_failure_that_is_told_late_is_no_contradiction",
    ),
    Mutation(
        "an unknown pay order",
        "its money is a person's case",
        "activities/charges.py",
        "elif verdict is not Verdict.ACCEPTED:",
        "elif verdict is Verdict.WRONG_AMOUNT:",
        "test_money_for_an_unknown_pay_order_is_kept_answered_and_a_persons_case",
    ),
    Mutation(
        "an unknown pay order",
        "a decided refund is asked of the channel",
        "workflows/payments.py",
        "        if returned.refund_id is not None:\n"
        "            await begin_refund(returned.refund_id)\n        return self.standing()",
        "        return self.standing()",
        "test_money_for_an_unknown_pay_order_is_kept_answered_and_a_persons_case",
    ),
    Mutation(
        "the workflow is down for hours",
        "the lock lasts for money that is on its way",
        "activities/orders.py",
        "if pay_id is not None and message.expired and order.status is OrderStatus.LOCKED:",
        "if False:",
        "test_what_is_paid_while_nobody_works_is_issued_though_the_hold_has_run_out",
    ),
    Mutation(
        "the workflow is down for hours",
        "what was acknowledged is handed over",
        "api/channel_callbacks.py",
        "afterwards = BackgroundTask(hand_over, parts, channel_id, event.event_id, event) if new else None",
        "afterwards = None if new else BackgroundTask(hand_over, parts, channel_id, event.event_id, event)",
        "test_what_is_paid_while_nobody_works_is_issued_though_the_hold_has_run_out",
    ),
    Mutation(
        "a callback that never comes",
        "the channel is asked for the last time of what was decided long ago",
        "api/payment_handover.py",
        "async for pay_id in _pages(parts.database, pay_reading.to_look_at, now):",
        "for pay_id in ():",
        "test_a_second_payment_whose_callback_is_lost_is_seen_at_the_last_look",
    ),
    Mutation(
        "a callback that never comes",
        "what it is found to have taken is booked",
        "workflows/last_look.py",
        "await self.book(answer)",
        "pass",
        "test_a_second_payment_whose_callback_is_lost_is_seen_at_the_last_look",
    ),
    Mutation(
        "a callback that never comes",
        "a channel that knows nothing then may be one that forgets",
        "workflows/last_look.py",
        "return self._doubt.is_over()",
        "return True",
        "test_a_channel_that_never_answered_and_forgets_is_not_believed_at_the_last_look",
    ),
    Mutation(
        "a bad signature",
        "what is not provably the channel's is refused",
        "adapters/payments/direct.py",
        "event_id = verify(self._callback_secret, body, headers, now)",
        'event_id = headers["webhook-id"]',
        "test_a_callback_with_a_bad_signature_is_refused_and_only_counted",
    ),
)


class RuleNotFound(Exception):
    """The code is not as the mutation has it: it has to be written anew."""


def main() -> int:
    """Prints rule by rule whether its story noticed; 0 where all did."""
    wanted = sys.argv[1:]
    chosen = [each for each in MUTATIONS if not wanted or each.story in wanted]
    with tempfile.TemporaryDirectory(prefix="mutations-") as scratch:
        tree = Path(scratch) / "tree"
        shutil.copytree(ROOT, tree, ignore=NOT_COPIED)
        for each in chosen:
            _changed(tree, each)  # a rule that is not there is told at once
        stories = sorted({each.story for each in chosen})
        if not _passes(tree, stories, ALL_TIMEOUT_S):
            print("The unchanged tree fails: repair that first.")
            return 1
        survivors = 0
        for each in chosen:
            with _without(tree, each):
                survives = _passes(tree, [each.story], STORY_TIMEOUT_S)
            survivors += survives
            print(f"{'SURVIVES' if survives else 'killed':<9} {each.row}: {each.rule}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} rules are guarded by their stories.")
    return 1 if survivors else 0


def _changed(tree: Path, mutation: Mutation) -> dict[Path, str]:
    """The files' texts without the rule. Raises RuleNotFound."""
    texts = {}
    for name, old, new in ((mutation.file, mutation.old, mutation.new), *mutation.also):
        source = (tree / name).read_text()
        if source.count(old) != 1:
            raise RuleNotFound(f"{name} has this {source.count(old)} times, not once: {old!r}")
        texts[tree / name] = source.replace(old, new)
        compile(texts[tree / name], name, "exec")
    return texts


@contextmanager
def _without(tree: Path, mutation: Mutation) -> Iterator[None]:
    changed = _changed(tree, mutation)
    sources = {file: file.read_text() for file in changed}
    try:
        for file, text in changed.items():
            file.write_text(text)
        yield
    finally:
        for file, text in sources.items():
            file.write_text(text)


def _passes(tree: Path, stories: list[str], timeout_s: float) -> bool:
    """Whether they all pass; a story that hangs does not. Raises RuntimeError where none of them was run."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=line", "-p", "no:cacheprovider"]
    command += [*STORIES, "-k", " or ".join(stories)]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        command, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        try:
            told, _ = run.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGINT)  # its servers end with it
            run.communicate()
            return False
    if run.returncode == 0:
        return True
    if not re.search(r"\d+ (failed|error)", told):
        raise RuntimeError(f"pytest ended with {run.returncode}:\n{told[-2_000:]}")
    return False


if __name__ == "__main__":
    sys.exit(main())
