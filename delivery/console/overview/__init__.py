"""The page that answers whether all is well, and if not: whose fault it is, since when, and who is affected."""
