"""Traces: one from the publish request to the receiver (docs/operations/tracing.md, docs/adr/0025).

`w3c` reads and writes trace contexts and is all that an untraced process needs; `switch` holds this process' tracer, or
none; `spans` makes spans; `export` is the only module that loads the OpenTelemetry SDK, and only where tracing is on.
"""
