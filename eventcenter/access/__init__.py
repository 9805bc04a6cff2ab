"""Who may do what: roles of people, scopes of keys, and the rows that a request may see."""
