"""Exchange of claims with other programmes, under registered agreements and their customers' consent (M14)."""
