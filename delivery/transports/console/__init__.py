"""The console channel: rows of the ops console's feed."""
