"""What a template may cost. Work is counted in steps, not in seconds: a busy machine must not end a delivery.

A step is one node of a template rendered once (a text, an expression, a filter, a condition), mostly 0.1 to 1 µs. Of 27
templates made to be slow, each just within MAX_STEPS, the worst took 0.18 s and 10 MB; a usual one takes 10 to 90 µs.
"""

from __future__ import annotations

MAX_DOCUMENT_BYTES = 32 * 1024  # as written
MAX_DOCUMENT_DEPTH = 16  # objects and lists within each other
MAX_LEAVES = 500  # values in the document
MAX_LEAF_CHARS = 4096  # of one value, as written
MAX_MARKS = 256  # {{ and {% in one value: the time that many unclosed ones take to read grows with their square
MAX_BLOCK_DEPTH = 8  # if, case and for within each other

MAX_RENDERED_BYTES = 1024 * 1024  # of one request's body; the largest event (512 KiB of data) fits in
MAX_TEXT_CHARS = 512 * 1024  # of what a filter takes or makes, and of a value within a text
MAX_LOCALS_BYTES = 1024 * 1024  # of what `assign` keeps within one value

MAX_STEPS = 50_000
# What costs more than its count: a text's length, and an event that a comparison may have to walk.
CHARS_PER_STEP = 64
EVENT_BYTES_PER_PRICE = 16 * 1024

MAX_NUMBER = 2**53  # above it a JSON number is not the same everywhere (RFC 8259 §6)
