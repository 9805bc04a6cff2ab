"""The templates, one module for each service: what it takes is data, with the page that says so."""
