"""What is counted and gauged, and the ways out of it: Prometheus, DogStatsD."""
