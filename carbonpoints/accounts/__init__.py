"""Account holders, their identifiers, consents and status."""
