"""Real RabbitMQ, Kafka and MariaDB without containers, in a folder and on ports of their own.

`python -m tests.services start|stop|status|env|run` for people and the Makefile; `stack` for the shared
three; `rabbitmq.RabbitMQ`, `kafka.Kafka`, `mariadb.MariaDB` for a test that wants one of its own to kill;
`fixtures` for pytest.
"""
