"""The WSGI application, for granian and for the `flask` command."""

import gc

from carbonpoints.app import create_app

COLLECT_AFTER = 50_000
"""So many more objects made than gone start a look for cycles. A batch makes about as many and leaves few cycles; with
Python's own 700 it was interrupted seventy times, for a third of its time."""

app = create_app()
gc.collect()
gc.freeze()  # What is there for good need not be looked at again.
gc.set_threshold(COLLECT_AFTER, 20, 20)
