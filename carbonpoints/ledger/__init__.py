"""The ledger: units, flows, lots, postings, proofs. One door in: `posting`."""
