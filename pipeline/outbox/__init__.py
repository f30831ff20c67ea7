"""What is remembered: records, mappings and the outbox, in MariaDB or SQLite. The only user of SQLAlchemy."""
