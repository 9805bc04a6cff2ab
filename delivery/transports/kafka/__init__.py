"""The Kafka channel: CloudEvents Kafka binding, one producer for each cluster."""
