"""Measure: `python -m bench`; see `docs/benchmarks.md`.

Nothing is imported here for its own sake: the processes that play clients begin by reading this module too.
"""

if __name__ == "__main__":
    from bench.command import main

    main()
