"""Jobs, projects, sessions, and what a management server says about itself.

Called by `dispatch` with a parsed call (`login` by its own way, since nobody is known yet).
"""

from __future__ import annotations

from pipeline.sandbox import access, listing, render
from pipeline.sandbox.call import Answer, Call
from pipeline.sandbox.errors import ApiError, invalid, wrong_parameter
from pipeline.sandbox.eventlog import COMPLETED, CREATED
from pipeline.sandbox.jobs import RUNNING, Job, Result
from pipeline.sandbox.settings_commands import THROTTLING_ENABLED, THROTTLING_INTERVAL, THROTTLING_MAX
from pipeline.sandbox.state import DISABLED, ENABLED, SYSTEM_ACCOUNT_ID, Domain, Project, User
from pipeline.sandbox.submit import JobSpec, submit
from pipeline.sandbox.world import World

SESSION_TIMEOUT_S = 1800


def query_async_job_result(call: Call) -> Answer:
    job = call.needed("jobid", Job)
    if not call.account.root_admin:
        access.check_account(call.account, job.account)
    return {**job_fields(call, job), "jobid": job.uuid, "jobstatus": job.status}


def job_fields(call: Call, job: Job) -> render.Fields:
    """What both job commands show."""
    out: render.Fields = {
        "accountid": job.account.uuid,
        "account": job.account.name,
        "domainid": job.account.domain.uuid,
        "domainpath": job.account.domain.path,
        "userid": job.user.uuid,
        "cmd": job.command,
        "jobprocstatus": 0,
        "jobresultcode": job.result_code,
    }
    if job.result is not None:
        out["jobresulttype"] = "object"
        out["jobresult"] = _result(job)
    if job.instance_type is not None:
        out["jobinstancetype"] = job.instance_type
    if job.instance_id is not None:
        out["jobinstanceid"] = job.instance_id
    if job.status == RUNNING:
        out["managementserverid"] = call.region.server_uuid
        out["managementservername"] = "localhost"
    out["created"] = render.when(job.created_ms)
    if job.completed_ms is not None:
        out["completed"] = render.when(job.completed_ms)
    return out


def _result(job: Job) -> Result:
    """An account in a job's result carries the job's id (recorded)."""
    shown = dict(job.result or {})
    account = shown.get("account")
    if isinstance(account, dict):
        shown["account"] = {**account, "jobid": job.uuid}
    return shown


def list_async_jobs(call: Call) -> Answer:
    view, since = listing.scope(call), call.whole("startdate")
    found = [
        job
        for job in call.region.jobs.by_uuid.values()
        if job.status == RUNNING and view.holds(job.account) and (since is None or job.created_ms >= since)
    ]
    return listing.listed(call, "asyncjobs", found, lambda job: {**job_fields(call, job), "jobid": job.uuid})


def create_project(call: Call) -> Answer:
    name = call.need("name")
    owner = listing.scope(call).account or call.account
    project = call.world.add_project(name, call.text("displaytext") or name, owner)
    call.touch(project)
    created = f"Successfully created entity for creating project. Project id={project.id}"
    call.parent = call.event("PROJECT.CREATE", CREATED, created)

    spec = JobSpec(
        type="PROJECT.CREATE",
        command="org.apache.cloudstack.api.command.user.project.CreateProjectCmd",
        scheduled="creating project",
        doing="creating project",
        work=lambda: {"project": render.project(call.world, project)},
        owner=call.account,
        instance_type="None",
        unnamed=True,
    )
    return {"id": project.uuid, **submit(call, spec)}


def list_projects(call: Call) -> Answer:
    view, wanted = listing.scope(call), call.entity("id", Project)
    found = [
        one
        for one in call.world.projects.values()
        if not one.removed
        and (wanted is None or one is wanted)
        and view.holds(one.owner)
        and listing.same(call.text("name"), one.name)
        and listing.same(call.text("state"), one.state)
        and listing.matches(call.text("keyword"), one.name, one.displaytext)
    ]
    return listing.listed(call, "project", found, lambda one: render.project(call.world, one))


def delete_project(call: Call) -> Answer:
    project = call.needed("id", Project)

    def work() -> Result:
        if project.removed:
            raise invalid(f"Unable to find project by id={project.id}")
        project.removed = True
        return {"success": True}

    return submit(
        call,
        JobSpec(
            type="PROJECT.DELETE",
            command="org.apache.cloudstack.api.command.user.project.DeleteProjectCmd",
            scheduled=f"Deleting project: {project.uuid}",
            doing="deleting project",
            work=work,
            owner=project.owner,
            instance_type="Project",
            instance_id=project.uuid,
        ),
    )


def authenticate(world: World, given: dict[str, str], allowed_attempts: int) -> User:
    """The user that `login` names. Raises 531; the fifth wrong password disables the user, without an
    event.
    """
    domain = login_domain(world, given)
    username = given.get("username", "")
    failure = ApiError(
        531,
        f"Failed to authenticate user {username} in domain {domain.id}; please provide valid credentials",
        None,
    )
    user = world.find_user(username, domain)
    if user is None or user.account.id == SYSTEM_ACCOUNT_ID:
        raise failure
    if not world.passwords.accepts(user, given.get("password", "")):
        if user.state == ENABLED and not user.default and allowed_attempts > 0:
            user.wrong_logins += 1
            if user.wrong_logins >= allowed_attempts:
                user.state = DISABLED
        raise failure
    if user.state != ENABLED or user.account.state != ENABLED:
        text = (
            f"User {user} (or their account) in domain {domain} is disabled/locked. "
            "Please contact the administrator."
        )
        raise ApiError(531, text, None)
    user.wrong_logins = 0
    return user


def login_domain(world: World, given: dict[str, str]) -> Domain:
    """By `domainid` (UUID or number), by `domain` (a path), else ROOT. Raises 531."""
    raw, path = given.get("domainid"), given.get("domain")
    found: Domain | None = world.root
    if raw:
        number = world.by_uuid["Domain"].get(raw)
        number = int(raw) if number is None and raw.isdecimal() else number
        found = world.live_domains.get(number) if number is not None else None
    elif path:
        wanted = "/" + "".join(f"{part}/" for part in path.strip("/").split("/") if part)
        found = next(
            (d for d in world.live_domains.values() if d.inner_path.casefold() == wanted.casefold()), None
        )
    if found is None:
        raise ApiError(531, "Unable to find the domain from the path " + (path or raw or ""), None)
    return found


def login_answer(user: User, session_key: str) -> Answer:
    """Everything but the timeout is text, as recorded."""
    out: Answer = {
        "username": user.username,
        "userid": user.uuid,
        "domainid": user.account.domain.uuid,
        "timeout": SESSION_TIMEOUT_S,
        "account": user.account.name,
        "firstname": user.firstname,
        "lastname": user.lastname,
        "type": str(user.account.type),
        "timezone": user.timezone or "UTC",
        "timezoneoffset": "0.0",
        "registered": "false",
        "sessionkey": session_key,
        "is2faenabled": "true" if user.two_factor else "false",
        "is2faverified": "true",
        "issuerfor2fa": "CloudStack",
    }
    return out


def logged_in(call: Call, address: str) -> None:
    call.touch(call.user)
    call.event("USER.LOGIN", COMPLETED, f"user has logged in from IP Address /{address}")


def logged_out(call: Call) -> Answer:
    call.touch(call.user)
    call.event("USER.LOGOUT", COMPLETED, "user has logged out")
    return {"description": "success"}


def list_capabilities(call: Call) -> Answer:
    """Recorded: it fails where the rows of the API's throttling are missing, as they were in the recorded
    region; CloudStack reads their numbers before it looks whether throttling is on (source:
    ManagementServerImpl). Elsewhere: the fields that `listApis` was recorded to name and that are known here.
    """
    numbers = [call.region.setting(name) for name in (THROTTLING_INTERVAL, THROTTLING_MAX)]
    if not all(number.isdecimal() for number in numbers):
        raise wrong_parameter("Cannot parse null string")
    told: Answer = {"cloudstackversion": call.region.version, "dynamicrolesenabled": True}
    if call.region.setting(THROTTLING_ENABLED) == "true":
        told |= {"apilimitinterval": int(numbers[0]), "apilimitmax": int(numbers[1])}
    return {"capability": told}


def list_management_servers(call: Call) -> Answer:
    row = {
        "id": call.region.server_uuid,
        "name": "localhost",
        "state": "Up",
        "version": call.region.version,
        "javadistribution": "Debian",
        "javaversion": "17.0.15+6-Debian-1deb12u1",
        "osdistribution": "Debian GNU/Linux 12 (bookworm)",
        "lastserverstart": render.when(call.region.started_ms),
        "lastboottime": render.when(call.region.started_ms),
        "serviceip": "127.0.0.1",
        "ipaddress": "127.0.0.1",
        "lastagents": [],
        "agents": [],
        "agentscount": 0,
        "pendingjobscount": 0,
    }
    return listing.listed(call, "managementserver", [row], dict)


def list_apis(call: Call) -> Answer:
    """The commands that the caller's role allows, with their parameters."""
    wanted = call.text("name")
    rows = []
    for api in call.region.apis.values():
        if (wanted is None or wanted == api.name) and access.allowed(call.account.role, api.name):
            parameters = [
                {"name": p.name, "type": p.type, "length": p.length, "required": p.required}
                for p in api.parameters
            ]
            rows.append({"name": api.name, "isasync": api.is_async, "params": parameters})
    if not rows:
        raise wrong_parameter(
            f"The API [{wanted}] does not exist or is not available for the account for user id"
        )
    return listing.answer("api", rows, len(rows))


def nothing(call: Call) -> Answer:
    """What the sandbox has none of: hosts, zones, webhooks."""
    listing.page(call)
    return {}
