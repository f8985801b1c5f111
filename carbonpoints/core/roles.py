"""Roles, what each may do, and which nobody may hold together (M21)."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Who may call."""

    CUSTOMER = "customer"
    FEED_PARTNER = "feed_partner"
    CORE_BANKING = "core_banking"
    RULE_MAKER = "rule_maker"
    RULE_CHECKER = "rule_checker"
    FINANCE = "finance"
    CREDIT_OFFICER = "credit_officer"
    RISK = "risk"
    CUSTOMER_SERVICE = "customer_service"
    OPERATIONS = "operations"
    AUDITOR = "auditor"
    DATA_PROTECTION = "data_protection"
    ENTERPRISE_USER = "enterprise_user"


SYSTEMS = frozenset({Role.FEED_PARTNER, Role.CORE_BANKING})
HOLDERS = frozenset({Role.CUSTOMER, Role.ENTERPRISE_USER})
STAFF = frozenset(Role) - SYSTEMS - HOLDERS
"""Roles that a member of the bank's staff holds: their tokens name the person."""

SCOPES = frozenset(
    {
        "accounts:read",
        "accounts:write",
        "accounts:open",
        "accounts:admin",
        "consents:write",
        "events:write",
        "events:read",
        "feeds:write",
        "feeds:read",
        "catalogue:read",
        "changes:read",
        "changes:write",
        "changes:check",
        "rules:check",
        "rules:simulate",
        "budgets:read",
        "backtests:write",
        "backtests:read",
        "ledger:read",
        "clock:write",
        "tasks:read",
        "appeals:write",
        "appeals:read",
        "appeals:decide",
        "reviews:write",
        "reviews:read",
        "reviews:decide",
        "exchange:write",
        "exchange:read",
        "coverage:read",
    }
)

_RULES_READ = (
    "changes:read",
    "rules:check",
    "rules:simulate",
    "backtests:write",
    "backtests:read",
    "budgets:read",
    "coverage:read",
)
"""What makers and checkers of rules both do: look, and try out."""

ROLE_SCOPES: dict[Role, frozenset[str]] = {
    Role.CUSTOMER: frozenset(
        {
            "accounts:read",
            "accounts:write",
            "accounts:open",
            "consents:write",
            "events:read",
            "catalogue:read",
            "tasks:read",
            "appeals:write",
            "appeals:read",
        }
    ),
    Role.ENTERPRISE_USER: frozenset({"accounts:read", "events:read", "catalogue:read", "tasks:read"}),
    Role.FEED_PARTNER: frozenset({"events:write", "events:read", "feeds:write", "feeds:read"}),
    Role.CORE_BANKING: frozenset(
        {
            "accounts:read",
            "accounts:write",
            "consents:write",
            "events:write",
            "events:read",
            "feeds:write",
            "feeds:read",
            "catalogue:read",
            "tasks:read",
            "reviews:write",
        }
    ),
    Role.RULE_MAKER: frozenset({"catalogue:read", "changes:write", *_RULES_READ}),
    Role.RULE_CHECKER: frozenset({"catalogue:read", "changes:check", *_RULES_READ}),
    Role.FINANCE: frozenset(
        {
            "catalogue:read",
            "rules:simulate",
            "backtests:write",
            "backtests:read",
            "budgets:read",
            "ledger:read",
        }
    ),
    Role.CREDIT_OFFICER: frozenset({"accounts:read", "catalogue:read"}),
    Role.RISK: frozenset(
        {
            "accounts:read",
            "events:read",
            "catalogue:read",
            "budgets:read",
            "ledger:read",
            "appeals:read",
            "reviews:write",
            "reviews:read",
            "reviews:decide",
        }
    ),
    Role.CUSTOMER_SERVICE: frozenset(
        {"accounts:read", "events:read", "catalogue:read", "tasks:read", "appeals:read"}
    ),
    Role.OPERATIONS: frozenset(
        {
            "accounts:read",
            "accounts:write",
            "accounts:admin",
            "consents:write",
            "events:read",
            "feeds:write",
            "feeds:read",
            "catalogue:read",
            "budgets:read",
            "ledger:read",
            "clock:write",
            "appeals:read",
            "appeals:decide",
            "exchange:write",
            "exchange:read",
            "coverage:read",
        }
    ),
    Role.AUDITOR: frozenset(
        {
            "accounts:read",
            "events:read",
            "feeds:read",
            "catalogue:read",
            "changes:read",
            "rules:simulate",
            "backtests:write",
            "backtests:read",
            "budgets:read",
            "ledger:read",
            "appeals:read",
            "reviews:read",
            "exchange:read",
            "coverage:read",
        }
    ),
    Role.DATA_PROTECTION: frozenset(
        {
            "accounts:read",
            "events:read",
            "catalogue:read",
            "appeals:read",
            "exchange:read",
            "coverage:read",
        }
    ),
}
"""The most that a token of each role may do; its `scope` claim can only narrow this."""

_JUDGES = frozenset({Role.AUDITOR, Role.DATA_PROTECTION})
_APART = (
    (Role.RULE_MAKER, Role.RULE_CHECKER),
    (Role.FINANCE, Role.OPERATIONS),
    (Role.CREDIT_OFFICER, Role.RISK),
    (Role.RULE_MAKER, Role.FINANCE),
)


def are_incompatible(one: Role, other: Role) -> bool:
    """Whether nobody may act in both roles.

    Outside and inside never mix, nor do a system and a person; who judges does nothing else; and each
    pair of maker and checker is kept apart.
    """
    if one == other:
        return False
    if one not in STAFF or other not in STAFF:
        return True
    if one in _JUDGES or other in _JUDGES:
        return True
    return (one, other) in _APART or (other, one) in _APART
