"""The REST API: what its rooms share, and the rooms of this app. Those above are in subscriptions.api and delivery.api."""
