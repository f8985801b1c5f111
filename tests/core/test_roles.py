"""Who may do what, and what nobody may do alone."""

from __future__ import annotations

import itertools

import pytest

from carbonpoints.core.roles import HOLDERS, ROLE_SCOPES, SCOPES, STAFF, SYSTEMS, Role, are_incompatible


def test_every_role_has_scopes_that_exist() -> None:
    assert ROLE_SCOPES.keys() == set(Role)
    assert all(scopes and scopes <= SCOPES for scopes in ROLE_SCOPES.values())


def test_every_scope_belongs_to_somebody() -> None:
    assert frozenset().union(*ROLE_SCOPES.values()) == SCOPES


def test_customers_neither_report_events_nor_see_the_ledger() -> None:
    for role in HOLDERS:
        assert not ROLE_SCOPES[role] & {
            "events:write",
            "feeds:write",
            "ledger:read",
            "accounts:admin",
            "clock:write",
        }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Role.RULE_MAKER, Role.RULE_CHECKER),
        (Role.FINANCE, Role.OPERATIONS),
        (Role.CREDIT_OFFICER, Role.RISK),
        (Role.AUDITOR, Role.OPERATIONS),
        (Role.DATA_PROTECTION, Role.CUSTOMER_SERVICE),
        (Role.CUSTOMER, Role.OPERATIONS),
        (Role.CUSTOMER, Role.ENTERPRISE_USER),
        (Role.FEED_PARTNER, Role.CORE_BANKING),
    ],
)
def test_incompatible_pairs(one: Role, other: Role) -> None:
    assert are_incompatible(one, other)
    assert are_incompatible(other, one)


def test_compatible_pairs_are_few_and_all_of_staff() -> None:
    pairs = {frozenset(pair) for pair in itertools.combinations(Role, 2) if not are_incompatible(*pair)}
    assert all(pair <= STAFF for pair in pairs)
    assert frozenset({Role.RISK, Role.CUSTOMER_SERVICE}) in pairs
    assert len(pairs) == 17
    assert not STAFF & (HOLDERS | SYSTEMS)
