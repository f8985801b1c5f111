"""What every domain stands on: configuration, database, errors, time, identity, HTTP, outbox."""
