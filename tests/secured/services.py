"""What a test here is given: the three services, and whom their certificates are signed by."""

from __future__ import annotations

from dataclasses import dataclass

from tests.services.certificates import Authority
from tests.services.secured import SecuredKafka, SecuredMariaDB, SecuredRabbitMQ


@dataclass(frozen=True)
class Secured:
    """`stranger` is an authority that has signed nothing here."""

    kafka: SecuredKafka
    rabbitmq: SecuredRabbitMQ
    mariadb: SecuredMariaDB
    authority: Authority
    stranger: Authority
