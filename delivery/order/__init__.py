"""Ordered subscriptions: one delivery at a time of each partition key."""
