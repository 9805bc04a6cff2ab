"""How the system itself is: its processes, what waits where on the path, its tables, its versions. For the page of that name."""
