"""The stores of pipeline.outbox on real MariaDB."""
