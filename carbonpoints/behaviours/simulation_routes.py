"""Trying out what an event would get."""

from __future__ import annotations

from typing import Any

from carbonpoints.behaviours.simulating import simulate_event
from carbonpoints.behaviours.simulation_schemas import SimulateSchema, SimulationSchema
from carbonpoints.core.auth import current_caller
from carbonpoints.core.http import Blueprint, Registration

blueprint = Blueprint("simulation", __name__, url_prefix="/v1", description="What an event would get.")


@blueprint.route("/rules/simulate", methods=["POST"])
@blueprint.arguments(SimulateSchema)
@blueprint.response(200, SimulationSchema)
def simulate(asked: dict[str, Any]) -> dict[str, Any]:
    """Try one event out on any version, on what is in force at an instant, or on a draft. Nothing is written."""
    return simulate_event(caller=current_caller(), **asked)


SIMULATION = Registration(blueprint, scopes={"simulate": "rules:simulate"})
