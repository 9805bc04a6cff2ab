"""Whether we do what was promised: the report of the objectives, from counters and, to prove it, from the rows."""
