"""The tables' history: Alembic's environment and one module a version. Run by `engine.migrate`."""
