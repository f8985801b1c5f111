"""Package of the plugins."""
