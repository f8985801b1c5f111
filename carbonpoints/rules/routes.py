"""The catalogue out: factors, behaviour types, rules, shared caps and campaigns, as they hold and as they ever held."""

from __future__ import annotations

from typing import Any

from carbonpoints.approvals.versions import StoredVersion, VersionKind
from carbonpoints.core.auth import current_caller
from carbonpoints.core.http import Blueprint, Registration
from carbonpoints.core.pagination import Page
from carbonpoints.rules.schemas import BEHAVIOURS, CAMPAIGNS, FACTORS, RULES, SHARED_CAPS, CatalogueQuery
from carbonpoints.rules.services import list_definitions, read_definition

blueprint = Blueprint(
    "catalogue",
    __name__,
    url_prefix="/v1",
    description="Factors with their sources, behaviour types, rules, shared caps and campaigns, each with its history.",
)


def _page(kind: VersionKind, query: dict[str, Any]) -> Page[StoredVersion]:
    return list_definitions(caller=current_caller(), kind=kind, **query)


def _history(kind: VersionKind, code: str) -> dict[str, Any]:
    return {"versions": read_definition(caller=current_caller(), kind=kind, code=code)}


@blueprint.route("/factors")
@blueprint.arguments(CatalogueQuery, location="query")
@blueprint.response(200, FACTORS.page)
def list_factors(query: dict[str, Any]) -> Page[StoredVersion]:
    """List factors: figure, unit, region, year, source, grade and use."""
    return _page(VersionKind.FACTOR, query)


@blueprint.route("/factors/<code>")
@blueprint.etag
@blueprint.response(200, FACTORS.history)
def get_factor(code: str) -> dict[str, Any]:
    """Show every version a factor ever had."""
    return _history(VersionKind.FACTOR, code)


@blueprint.route("/behaviours")
@blueprint.arguments(CatalogueQuery, location="query")
@blueprint.response(200, BEHAVIOURS.page)
def list_behaviours(query: dict[str, Any]) -> Page[StoredVersion]:
    """List behaviour types: attributes, evidence, consent and what identifies an act."""
    return _page(VersionKind.BEHAVIOUR, query)


@blueprint.route("/behaviours/<code>")
@blueprint.etag
@blueprint.response(200, BEHAVIOURS.history)
def get_behaviour(code: str) -> dict[str, Any]:
    """Show every version a behaviour type ever had."""
    return _history(VersionKind.BEHAVIOUR, code)


@blueprint.route("/rules")
@blueprint.arguments(CatalogueQuery, location="query")
@blueprint.response(200, RULES.page)
def list_rules(query: dict[str, Any]) -> Page[StoredVersion]:
    """List rules: conditions, formulas, credits, caps and the basis of each."""
    return _page(VersionKind.RULE, query)


@blueprint.route("/rules/<code>")
@blueprint.etag
@blueprint.response(200, RULES.history)
def get_rule(code: str) -> dict[str, Any]:
    """Show every version a rule ever had."""
    return _history(VersionKind.RULE, code)


@blueprint.route("/shared-caps")
@blueprint.arguments(CatalogueQuery, location="query")
@blueprint.response(200, SHARED_CAPS.page)
def list_shared_caps(query: dict[str, Any]) -> Page[StoredVersion]:
    """List the caps that several behaviours use together."""
    return _page(VersionKind.SHARED_CAP, query)


@blueprint.route("/shared-caps/<code>")
@blueprint.etag
@blueprint.response(200, SHARED_CAPS.history)
def get_shared_cap(code: str) -> dict[str, Any]:
    """Show every version a shared cap ever had."""
    return _history(VersionKind.SHARED_CAP, code)


@blueprint.route("/campaigns")
@blueprint.arguments(CatalogueQuery, location="query")
@blueprint.response(200, CAMPAIGNS.page)
def list_campaigns(query: dict[str, Any]) -> Page[StoredVersion]:
    """List campaigns: what they boost, for whom, when, and how they stack."""
    return _page(VersionKind.CAMPAIGN, query)


@blueprint.route("/campaigns/<code>")
@blueprint.etag
@blueprint.response(200, CAMPAIGNS.history)
def get_campaign(code: str) -> dict[str, Any]:
    """Show every version a campaign ever had."""
    return _history(VersionKind.CAMPAIGN, code)


_READ = "catalogue:read"

CATALOGUE = Registration(
    blueprint,
    scopes={
        "list_factors": _READ,
        "get_factor": _READ,
        "list_behaviours": _READ,
        "get_behaviour": _READ,
        "list_rules": _READ,
        "get_rule": _READ,
        "list_shared_caps": _READ,
        "get_shared_cap": _READ,
        "list_campaigns": _READ,
        "get_campaign": _READ,
    },
)
