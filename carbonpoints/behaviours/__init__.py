"""Behaviour events: in by API and file, each to one disposition."""
