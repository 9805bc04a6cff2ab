"""How endpoints are: breakers, what deliveries do to their endpoints, and what is told of it."""
