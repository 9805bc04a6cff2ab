"""One delivery told to a person: what happened, where the time went, what holds it, what comes next, what to press."""
