"""The WSGI application, for granian and for the `flask` command."""

from carbonpoints.app import create_served_app

app = create_served_app()
