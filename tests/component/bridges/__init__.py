"""The bridges on real RabbitMQ and Kafka."""
