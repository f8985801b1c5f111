"""Routes that belong to no domain: health, the API's description, and the test clock outside production."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app, render_template
from marshmallow import fields

from carbonpoints.core.http import PUBLIC, Blueprint, Registration, Schema
from carbonpoints.core.openapi import document_text

health = Blueprint("health", __name__, description="Whether the service runs and is ready to answer.")
description = Blueprint("description", __name__, description="The API's own description.")


class Live(Schema):
    """The process runs."""

    status = fields.String(required=True)


@health.route("/health/live")
@health.response(200, Live)
def live() -> dict[str, Any]:
    """Say that the process runs; asks nobody else."""
    return {"status": "live"}


@description.route("/openapi.json")
@description.response(200, description="The OpenAPI 3.1 document.")
def openapi() -> Response:
    """Describe the API."""
    return Response(document_text(current_app), content_type="application/json")


@description.route("/reference")
@description.response(200, content_type="text/html", description="The reference page.")
def reference() -> Response:
    """Show the description as a page; works without a network."""
    return Response(render_template("reference.html"), content_type="text/html")


REGISTRATIONS = [
    Registration(health, scopes={"live": PUBLIC}),
    Registration(description, scopes={"openapi": PUBLIC, "reference": PUBLIC}),
]
