"""The three services as a careful operator runs them: TLS everywhere, log-ins, and in Kafka an authoriser.

In: a folder, an authority. Out: running services; `address` is for a client that has the authority's file.
Called by tests/secured.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tests.services import kafka, mariadb, rabbitmq
from tests.services.certificates import HERE, Authority
from tests.services.service import Launch

ADMIN: Final = "administrator"
PASSWORD: Final = "Administrator-0b7c"
ANSWER_LIMIT_S: Final = 2.0

_ACCESS: Final = f"""
listeners=CLIENT://{HERE}:{{kafka}},CONTROLLER://{HERE}:{{controller}}
advertised.listeners=CLIENT://{HERE}:{{kafka}}
listener.security.protocol.map=CLIENT:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.client.scram-sha-512.sasl.jaas.config=\\
  org.apache.kafka.common.security.scram.ScramLoginModule required username="{ADMIN}" password="{PASSWORD}";
ssl.keystore.type=PEM
ssl.keystore.location={{both}}
ssl.truststore.type=PEM
ssl.truststore.location={{ca}}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
# the controller's own listener is on loopback, without a log-in
super.users=User:{ADMIN};User:ANONYMOUS
allow.everyone.if.no.acl.found=false
"""
_REPLACED: Final = ("listeners=", "advertised.listeners=", "listener.security.protocol.map=")


class SecuredKafka(kafka.Kafka):
    """SASL_SSL with SCRAM-SHA-512; nobody but `ADMIN` may do anything before an ACL says so."""

    def __init__(self, folder: Path, cache: Path, authority: Authority) -> None:
        super().__init__(folder, cache)
        self._authority = authority

    def options(self, user: str = ADMIN, password: str = PASSWORD) -> dict[str, str]:
        """As `kafka_options` of the settings."""
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": password,
            "ssl.ca.location": str(self._authority.ca),
        }

    def healthy(self) -> bool:
        """As without TLS: ApiVersions is answered before the log-in."""
        context = ssl.create_default_context(cafile=str(self._authority.ca))
        try:
            with (
                socket.create_connection((HERE, self.ports["kafka"]), ANSWER_LIMIT_S) as bare,
                context.wrap_socket(bare, server_hostname=HERE) as connection,
            ):
                connection.sendall(kafka.API_VERSIONS)
                return len(connection.recv(4)) > 0
        except OSError:
            return False

    def _write_properties(self, data: Path) -> Path:
        properties = super()._write_properties(data)
        made = self._authority.certificate()
        kept = [line for line in properties.read_text().splitlines() if not line.startswith(_REPLACED)]
        access = _ACCESS.format(**self.ports, both=made.both, ca=self._authority.ca)
        properties.write_text("\n".join(kept) + access)
        return properties

    def _command(self, main: str, *arguments: str) -> list[str]:
        if main == "kafka.tools.StorageTool":
            arguments += ("--add-scram", f"SCRAM-SHA-512=[name={ADMIN},password={PASSWORD}]")
        return super()._command(main, *arguments)


@dataclass(frozen=True)
class BusUser:
    """Who may log in to RabbitMQ, and three regular expressions for what."""

    password: str
    configure: str
    write: str
    read: str


class SecuredRabbitMQ(rabbitmq.RabbitMQ):
    """`address` is the amqps listener; simulated regions publish over `plain_address`, on loopback."""

    port_names = ("amqp", "amqps", "distribution", "epmd")

    def __init__(self, folder: Path, authority: Authority, users: Mapping[str, BusUser]) -> None:
        """`users` besides the administrator, by name."""
        super().__init__(folder)
        self._authority = authority
        self._users = {ADMIN: BusUser(PASSWORD, ".*", ".*", ".*"), **users}

    @property
    def address(self) -> str:
        return self.url(ADMIN)

    @property
    def plain_address(self) -> str:
        return f"amqp://{ADMIN}:{PASSWORD}@{HERE}:{self.ports['amqp']}/%2F"

    def where(self, login: str) -> str:
        """The URL for this `user:password`."""
        return f"amqps://{login}@{HERE}:{self.ports['amqps']}/%2F"

    def url(self, user: str) -> str:
        return self.where(f"{user}:{quote(self._users[user].password, safe='')}")

    def launch(self, data: Path) -> Launch:
        launch = super().launch(data)
        made = self._authority.certificate()
        definitions = self.folder / "definitions.json"
        definitions.write_text(json.dumps(self._definitions()))
        with (self.folder / "rabbitmq.conf").open("a") as configuration:
            configuration.write(
                f"listeners.ssl.default = {HERE}:{self.ports['amqps']}\n"
                f"ssl_options.cacertfile = {self._authority.ca}\n"
                f"ssl_options.certfile = {made.chain}\n"
                f"ssl_options.keyfile = {made.key}\n"
                f"load_definitions = {definitions}\n"
            )
        return launch

    def _definitions(self) -> dict[str, list[dict[str, str]]]:
        """https://www.rabbitmq.com/docs/definitions"""
        users = self._users.items()
        return {
            "vhosts": [{"name": "/"}],
            "users": [{"name": name, "password": one.password, "tags": ""} for name, one in users],
            "permissions": [
                {"user": name, "vhost": "/", "configure": one.configure, "write": one.write, "read": one.read}
                for name, one in users
            ],
        }


class SecuredMariaDB(mariadb.MariaDB):
    """Takes no connection without TLS. `certificate` may be changed under it: `FLUSH SSL` reads it anew."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        super().__init__(folder)
        self._authority = authority
        self.certificate = self.folder / "server.pem"
        self.key = self.folder / "server.key"

    @property
    def address(self) -> str:
        """As the one who may do everything."""
        return f"{super().address}&ssl_ca={self._authority.ca}"

    def url(self, user: str, password: str, host: str = HERE) -> str:
        """The same database as somebody else, or by another name of the host."""
        where = f"{host}:{self.ports['mysql']}/{mariadb.USER}"
        return f"mysql+pymysql://{user}:{quote(password, safe='')}@{where}?ssl_ca={self._authority.ca}"

    def launch(self, data: Path) -> Launch:
        made = self._authority.certificate()
        self.certificate.write_bytes(made.chain.read_bytes())
        self.key.write_bytes(made.key.read_bytes())
        launch = super().launch(data)
        with (self.folder / "access.sql").open("a") as access:
            access.write(f"GRANT ALL ON *.* TO '{mariadb.USER}'@'{HERE}' WITH GRANT OPTION;\n")
        secure = [
            f"--ssl-ca={self._authority.ca}",
            f"--ssl-cert={self.certificate}",
            f"--ssl-key={self.key}",
            "--require-secure-transport=ON",
        ]
        return Launch([*launch.argv, *secure], launch.env)
