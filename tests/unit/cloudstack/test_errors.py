"""Every failure that was recorded on a real region means one class; so do those known from CloudStack's
code."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.cloudstack.errors import (
    BelowItself,
    Busy,
    NameTaken,
    NotEmpty,
    NotFound,
    OverParent,
    Refused,
    Throttled,
    Unauthorised,
    UuidUsed,
    failure,
    job_failure,
    worded,
)
from pipeline.core.errors import PermanentError, TemporaryError
from tests.unit.cloudstack.conftest import DATA

FAILURES = json.loads((DATA / "failures.json").read_text("utf-8"))

EXPECTED: dict[str, type[Exception]] = {
    "domain.create.dupname": NameTaken,
    "domain.create.dupid": UuidUsed,
    "domain.update.missing": NotFound,
    "domain.delete.nonempty.nocleanup": NotEmpty,
    "domain.list.deleted": NotFound,
    "account.create.dupname": NameTaken,
    "account.create.dupaccountid": UuidUsed,
    "account.create.missingpassword": Refused,
    "account.lockAccount": Refused,
    "account.read.deleted": NotFound,
    "account.delete.admin": Refused,
    "user.create.dupid": UuidUsed,
    "user.create.dupname.samedomain": NameTaken,
    "user.create.nopassword": Refused,
    "user.update.password.empty": Refused,
    "user.disable.missing": NotFound,
    "login.wrongpassword": Unauthorised,
    "login.nosuchuser": Unauthorised,
    "login.lockout": Unauthorised,
    "role.disable": NotFound,
    "limit.update.account": NotFound,
    "config.update.domain": Refused,
    "read.listDomains.pagesize501": Refused,
    "read.listDomains.pagesize.nopage": Refused,
    "read.listDomains.page.nopagesize": Refused,
    "read.listDomains.missingid": NotFound,
    "read.listAccounts.pagesize501": Refused,
    "read.listAccounts.pagesize.nopage": Refused,
    "read.listAccounts.missingid": NotFound,
    "read.listAccounts.badid": NotFound,
    "read.listUsers.pagesize501": Refused,
    "read.listUsers.page.nopagesize": Refused,
    "read.listUsers.badid": NotFound,
    "read.listEvents.missingid": NotFound,
    "region.add.dup": Refused,
    "region.remove.nonexist": Refused,
    "read.listCapabilities": Refused,
    "err.badsignature": Unauthorised,
    "err.unknowncommand": Refused,
    "err.nocommand": Unauthorised,
    "err.missingparam": Refused,
    "nonadmin.createDomain": Refused,
    "nonadmin.listDomains": Refused,
    "nonadmin.updateUser": Refused,
    "nonadmin.deletedkey": Unauthorised,
    "actor.selfdelete.user": Refused,
    "actor.selfdelete.account": Refused,
    "move.user.otherdomain": Refused,
}


@pytest.mark.parametrize("case", FAILURES, ids=[f"{case['scenario']}-{case['command']}" for case in FAILURES])
def test_recorded_failures(case: dict[str, Any]) -> None:
    inner = next(iter(case["body"].values()))
    if case["job"]:
        error = job_failure(case["command"], inner)
        text = inner["jobresult"]["errortext"]
    else:
        error = failure(case["command"], case["status"], case["body"])
        text = inner["errortext"]
    assert type(error) is EXPECTED[case["scenario"]]
    if isinstance(error, Refused) and error.status != 401:
        assert str(error) == text
        assert error.command == case["command"]
        assert error.status in (431, 432, 530)


def test_every_expectation_has_a_recording() -> None:
    assert set(EXPECTED) == {case["scenario"] for case in FAILURES}


def test_an_unknown_uuid_tells_which_parameter_it_was() -> None:
    case = next(case for case in FAILURES if case["scenario"] == "domain.update.missing")
    error = failure("updateDomain", 431, case["body"])
    assert isinstance(error, NotFound)
    assert error.param == "id"


def test_a_success_is_no_failure() -> None:
    assert failure("listUsers", 200, {"listusersresponse": {}}) is None
    assert job_failure("deleteDomain", {"jobstatus": 1, "jobresult": {"success": True}}) is None
    assert job_failure("deleteDomain", {"jobstatus": 0}) is None


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (530, "DB Exception on: com.mysql.cj.jdbc.ClientPreparedStatement", Busy),
        (530, "Unable to acquire lock on user_account", Busy),
        (530, "Internal error executing command, please contact your system administrator", Busy),
        (530, "Job is cancelled as it has been blocking others for too long: timed out", Busy),
        (530, "job cancelled because of management server restart or shutdown", Busy),
        (530, "Failed to delete user", Refused),
        (530, 'Cannot invoke "com.cloud.user.Account.getId()" because "account" is null', NotFound),
        (530, "The user timeout already exists in domain 20", NameTaken),
        (533, "Insufficient capacity", Busy),
        (534, "Resource unavailable", Busy),
        (503, "Service unavailable", Busy),
        (429, "The given user has reached his/her account api limit, please retry after 250 ms.", Throttled),
        (531, "Acct does not have permission to operate with resource", Refused),
        (432, "The API [createDomain] does not exist or is not available for the account", Refused),
        (536, "in use", Refused),
        (431, "Unable to find user by id", NotFound),
        (431, "No active domain found with the provided ID [7].", NotFound),
        (431, "Failed to delete domain 7, domain not found", NotFound),
        (431, "Username [other] already exists in domain [id=1,name=d]", NameTaken),
        (431, "Failed to update specified domain id with name 'd' since it already exists", NameTaken),
        (431, "The account with the proposed name 'b' exists in the domain 'd' with account a", NameTaken),
        (431, "The API key [k] already exists in the system. Please provide a unique key.", Refused),
    ],
)
def test_failures_known_from_the_source(code: int, text: str, expected: type[Exception]) -> None:
    assert type(worded("updateUser", code, text)) is expected


def test_a_limit_above_the_parents_may_pass_and_no_other_refusal_of_a_limit_does() -> None:
    text = "Domain a(id: 7) has maximum allowed resource limit 10 for user_vm, please specify a value less"
    assert type(worded("updateResourceLimit", 431, text)) is OverParent
    assert type(worded("updateDomain", 431, text)) is Refused
    assert type(worded("updateResourceLimit", 431, "Please specify valid resource type")) is Refused
    gone = "Unable to find account by name a in domain with specified id"
    assert type(worded("updateResourceLimit", 431, gone)) is NotFound


def test_the_pause_that_a_429_names_in_its_text() -> None:
    error = worded("listUsers", 429, "please retry after 250 ms.")
    assert isinstance(error, Throttled)
    assert error.after_s == 0.25


def test_a_job_that_fails_without_words_is_refused() -> None:
    error = job_failure("deleteDomain", {"jobstatus": 2, "jobresultcode": 530})
    assert type(error) is Refused
    assert error.status == 530


def test_a_job_whose_result_is_only_text() -> None:
    error = job_failure("deleteDomain", {"jobstatus": 2, "jobresultcode": 530, "jobresult": "deadlock found"})
    assert type(error) is Busy


def test_an_answer_without_a_response_is_temporary() -> None:
    assert isinstance(failure("listUsers", 200, {"listusersresponse": "text"}), TemporaryError)
    assert isinstance(failure("listUsers", 500, {"error": {"status": 500}}), TemporaryError)


def test_the_tree_has_two_trunks() -> None:
    for kind in (Busy, Throttled, Unauthorised):
        assert issubclass(kind, TemporaryError)
    for refused in (NotFound, NameTaken, UuidUsed, NotEmpty, BelowItself, OverParent):
        assert issubclass(refused, Refused)
        assert issubclass(refused, PermanentError)
