"""The WSGI application, for granian and for the `flask` command."""

from carbonpoints.app import create_app

app = create_app()
