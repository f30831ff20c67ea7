"""The stores of pipeline.outbox; the contracts are run again on MariaDB by tests/component/outbox."""
