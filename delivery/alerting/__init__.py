"""Rules over the counters, the alerts they make, and the people who are called. docs/adr/0022-alerting.md."""
