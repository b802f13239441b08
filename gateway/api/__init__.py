"""HTTP surfaces: the data port's routes and the admin API."""
