"""The REST API's rooms for endpoints, their secrets, and subscriptions."""
