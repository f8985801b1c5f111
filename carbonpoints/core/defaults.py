"""What a programme's settings mean where they were stored before a field was there. Pure."""

CORRECTION_DAYS = 365
"""How long after its booking an event may be reversed or corrected."""
APPEAL_RETENTION_DAYS = 365
"""How long the words of an appeal are kept after it was resolved."""
NOTICE_DAYS = 30
"""How long ahead what is worse for customers is announced."""
