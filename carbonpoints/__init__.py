"""carbonpoints: the backend of a personal carbon-inclusive account (碳普惠) at a mobile bank."""
