"""The AMQP channel (0-9-1, RabbitMQ): CloudEvents AMQP binding, published with confirms, through kombu."""
