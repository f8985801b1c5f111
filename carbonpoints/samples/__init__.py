"""Made-up data for first runs, demonstrations and tests; and the way a real bank's open data are loaded."""
