"""Replay: past decisions judged again, by a draft or by what they rested on, without writing to the ledger."""
