"""The whole system on one machine with nothing installed: what `make run`, the tests and the benchmark start.

Nothing here imports Django: the application's settings need the addresses that this package makes.
"""
