"""Reminders that a signing key is due for rotation: an event, an alert and the console's banner."""
