"""The services program keeps what the Makefile and the fault tests build on: a stack in its own folder."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
import sqlalchemy
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.services import debian, java, process
from tests.services.errors import ServiceUnavailable, WaitTimeout
from tests.services.fixtures import refuse
from tests.services.kafka import Kafka
from tests.services.mariadb import MariaDB
from tests.services.rabbitmq import RabbitMQ
from tests.services.stack import AMQP, DATABASE, FOLDER, KAFKA, VARIABLES, Stack

pytestmark = pytest.mark.services
LIMIT_S = 90.0


@pytest.fixture(scope="module")
def jars(services_cache: Path) -> Path:
    try:
        return java.jars(services_cache)
    except ServiceUnavailable as error:
        refuse(str(error))
        raise


@pytest.fixture
def folder(tmp_path: Path, jars: Path) -> Path:
    (tmp_path / "jars").symlink_to(jars)
    return tmp_path


@pytest.fixture
def stack(folder: Path) -> Iterator[Stack]:
    stack = Stack({FOLDER: str(folder)})
    yield stack
    stack.stop()


def pids(stack: Stack) -> dict[str, list[int]]:
    return {variable: process.marked(service.folder) for variable, service in stack.services.items()}


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that ended and that init has not reaped yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def leave_traces(addresses: dict[str, str]) -> None:
    """One durable thing in each service, written with its real client."""
    with pika.BlockingConnection(pika.URLParameters(addresses[AMQP])) as connection:
        channel = connection.channel()
        channel.queue_declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
        channel.confirm_delivery()
        channel.basic_publish("", "kept", b"1", mandatory=True)
    admin = AdminClient({"bootstrap.servers": addresses[KAFKA]})
    for future in admin.create_topics([NewTopic("kept", 3, 1)]).values():
        future.result(LIMIT_S)
    engine = sqlalchemy.create_engine(addresses[DATABASE])
    with engine.begin() as connection_:
        connection_.execute(sqlalchemy.text("CREATE TABLE kept (id INT)"))
        connection_.execute(sqlalchemy.text("INSERT INTO kept VALUES (1)"))
    engine.dispose()


def await_survivable(stack: Stack) -> None:
    rabbitmq = stack.services[AMQP]
    assert isinstance(rabbitmq, RabbitMQ)
    rabbitmq.await_survivable("kept")


def kept_message(address: str) -> bytes | None:
    with pika.BlockingConnection(pika.URLParameters(address)) as connection:
        _, _, body = connection.channel().basic_get("kept", auto_ack=True)
        return body if isinstance(body, bytes) else None


def assert_traces(addresses: dict[str, str]) -> None:
    # a quorum queue elects its leader a moment after the node's start
    process.wait_until(lambda: kept_message(addresses[AMQP]) == b"1", LIMIT_S, "the kept message")
    metadata = AdminClient({"bootstrap.servers": addresses[KAFKA]}).list_topics(timeout=LIMIT_S)
    assert len(metadata.topics["kept"].partitions) == 3
    engine = sqlalchemy.create_engine(addresses[DATABASE])
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT id FROM kept")).scalar_one() == 1
    engine.dispose()


def test_the_life_of_the_stack(stack: Stack) -> None:
    first = stack.start()
    if first.missing:
        refuse("; ".join(first.missing.values()))
    assert sorted(first.started) == ["kafka", "mariadb", "rabbitmq"]
    assert set(first.addresses) == set(VARIABLES)
    written = dict(line.split("=", 1) for line in (stack.folder / "env").read_text().splitlines())
    assert written == first.addresses
    leave_traces(dict(first.addresses))
    await_survivable(stack)
    before = pids(stack)
    assert all(before.values())

    assert list(stack.start().started) == []
    assert pids(stack) == before

    for variable, service in stack.services.items():
        service.kill()
        assert not service.running()
        assert variable not in stack.addresses()
        again = stack.start()
        assert list(again.started) == [service.name]
        assert again.addresses == first.addresses
        after = pids(stack)
        assert {name: after[name] for name in VARIABLES if name != variable} == {
            name: before[name] for name in VARIABLES if name != variable
        }
        assert not set(after[variable]) & set(before[variable])
        before = after
    assert_traces(dict(first.addresses))

    stack.stop()
    assert not any(pids(stack).values())
    assert not any(is_alive(pid) for some in before.values() for pid in some)
    assert stack.addresses() == {}
    assert all(
        process.is_free(port) for service in stack.services.values() for port in service.ports.values()
    )
    assert not list(stack.folder.glob("*/data"))
    stack.stop()


def test_an_address_in_the_environment_is_used_and_not_provisioned(folder: Path) -> None:
    given = {AMQP: "amqp://theirs/", KAFKA: "theirs:9092", DATABASE: "mysql+pymysql://theirs/x"}
    stack = Stack({FOLDER: str(folder), **given})
    outcome = stack.start()
    assert (outcome.addresses, outcome.missing, list(outcome.started)) == (given, {}, [])
    assert not any(pids(stack).values())


def test_the_last_lease_stops_what_leases_started(stack: Stack) -> None:
    database = stack.services[DATABASE]
    with stack.lease([DATABASE]) as outcome:
        if outcome.missing:
            refuse(outcome.missing[DATABASE])
        assert list(outcome.started) == ["mariadb"]
        with stack.lease([DATABASE]) as second:
            assert list(second.started) == []
        assert database.running()
    assert not process.marked(database.folder)


def test_a_lease_leaves_running_what_was_started_to_stay(folder: Path, database_url: str) -> None:
    elsewhere = {AMQP: "amqp://theirs/", KAFKA: "theirs:9092"}
    stack = Stack({FOLDER: str(folder), **elsewhere})
    try:
        assert list(stack.start().started) == ["mariadb"]
        with stack.lease():
            pass
        assert stack.services[DATABASE].running()
    finally:
        stack.stop()


def test_a_half_finished_initialisation_begins_again(tmp_path: Path, database_url: str) -> None:
    server = MariaDB(tmp_path / "mariadb")
    (server.folder / "data" / "mysql").mkdir(parents=True)
    (server.folder / "data" / "ibdata1").write_bytes(b"half a page")
    with server:
        assert server.running()
    assert not process.marked(server.folder)


def test_half_fetched_jars_are_not_used(tmp_path: Path, jars: Path) -> None:
    (tmp_path / "jars.partial").mkdir()
    (tmp_path / "jars.partial" / "kafka_2.13-4.3.1.jar").write_bytes(b"PK")
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "kafka_2.13-4.3.1.jar").write_bytes(b"PK")
    fetched = java.jars(tmp_path)
    assert sorted(jar.name for jar in fetched.glob("*.jar")) == sorted(jar.name for jar in jars.glob("*.jar"))
    assert not (tmp_path / "jars.partial").exists()


def test_a_stranger_with_the_recorded_pid_is_left_alone(tmp_path: Path) -> None:
    kafka = Kafka(tmp_path / "kafka", tmp_path)
    kafka.folder.mkdir()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (kafka.folder / "pid").write_text(str(stranger.pid))
        kafka.stop()
        kafka.kill()
        assert stranger.poll() is None
        stranger.kill()


def test_a_server_that_dies_while_starting_is_told_with_its_log(folder: Path) -> None:
    kafka = Kafka(folder / "kafka", folder)
    with kafka:
        kafka.kill()
        shutil.rmtree(kafka.folder / "data")
        (kafka.folder / "data").mkdir()
        with pytest.raises(
            ServiceUnavailable, match=r"kafka ended while starting\n(.|\n)*No readable meta.properties"
        ):
            kafka.start()


def test_a_port_that_was_taken_meanwhile_is_replaced(tmp_path: Path, database_url: str) -> None:
    with MariaDB(tmp_path / "mariadb") as server:
        taken = server.ports["mysql"]
        server.stop()
        with socket.create_server(("127.0.0.1", taken)):
            server.start()
            assert server.ports["mysql"] != taken
            assert server.running()


def test_waiting_has_a_limit_and_names_what_it_awaited() -> None:
    with pytest.raises(WaitTimeout, match="in vain for the moon"):
        process.wait_until(lambda: False, 0.1, "the moon")


def test_what_is_no_debian_gets_one_clear_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceUnavailable, match=r"some-package is missing and this is no Debian"):
        debian.require("some-program-of-no-package", ["some-package"])


@pytest.mark.parametrize(
    ("ci", "outcome"), [("true", pytest.fail.Exception), ("false", pytest.skip.Exception)]
)
def test_a_missing_service_fails_in_ci_and_skips_elsewhere(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no Kafka here"):
        refuse("no Kafka here")


def test_a_terminated_run_stops_what_it_started(tmp_path: Path, database_url: str) -> None:
    given = {AMQP: "amqp://theirs/", KAFKA: "theirs:9092"}
    command = [sys.executable, "-m", "tests.services", "run", "sleep", "60"]
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", FOLDER: str(tmp_path), **given}
    server = MariaDB(tmp_path / "mariadb")
    with subprocess.Popen(command, env=environ, cwd=Path(__file__).parents[2]) as run:
        process.wait_until((tmp_path / "env").exists, LIMIT_S, "the services of the run")
        assert server.running()
        run.terminate()
        assert run.wait(LIMIT_S) == 143
    assert not process.marked(server.folder)


def test_run_hands_over_the_addresses_and_the_exit_code(tmp_path: Path) -> None:
    given = {AMQP: "amqp://theirs/", KAFKA: "theirs:9092", DATABASE: "mysql+pymysql://theirs/x"}
    command = [sys.executable, "-m", "tests.services", "run", "sh", "-c", f'echo "${KAFKA}"; exit 7']
    done = subprocess.run(
        command,
        env={"PATH": "/usr/bin:/bin", FOLDER: str(tmp_path), **given},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, "theirs:9092\n")
