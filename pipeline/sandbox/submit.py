"""Starts an asynchronous command: its Scheduled event, its job, and the Started and Completed events
around the work.

Called by the commands that CloudStack runs as jobs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.sandbox.call import Answer, Call
from pipeline.sandbox.eventlog import SCHEDULED
from pipeline.sandbox.jobs import Job, Result
from pipeline.sandbox.state import Account


@dataclass(frozen=True, slots=True)
class JobSpec:
    """An asynchronous command. `owner` is whose event Scheduled is; `doing` is what Started and Completed
    say.

    `unnamed`: those two do not name the entity in their body (createProject).
    """

    type: str
    command: str
    scheduled: str
    doing: str
    work: Callable[[], Result]
    owner: Account
    instance_type: str | None = None
    instance_id: str | None = None
    unnamed: bool = False


def submit(call: Call, spec: JobSpec) -> Answer:
    """Answers with the jobid; the work comes after the answer."""
    region = call.region
    scheduled = call.event(spec.type, SCHEDULED, spec.scheduled, account=spec.owner)
    call.parent = call.parent or scheduled
    job = Job(
        region.world.new_uuid(),
        spec.command,
        call.user,
        call.account,
        region.world.clock(),
        spec.instance_type,
        spec.instance_id,
    )
    _tell_job(call, job, "submit")

    def work() -> Result:
        if spec.unnamed:
            call.subjects, call.touched = call.touched, {}
        try:
            return call.audited(spec.type, spec.doing, spec.work, started=True)
        finally:
            _tell_job(call, job, "complete")

    region.jobs.start(job, work, region.faults.job_delay_ms / 1000)
    return {"jobid": job.uuid}


def _tell_job(call: Call, job: Job, step: str) -> None:
    """The AsyncJobEvent that CloudStack sends too. It carries the caller's key and signature: never bind
    it.
    """
    if not call.region.log.listeners:
        return
    kind = job.instance_type or "*"
    message = {
        "jobId": job.uuid,
        "commandEventType": call.command,
        "processStatus": "0",
        "cmdInfo": json.dumps({"response": "json", **call.credentials}),
        "instanceType": kind,
        "resultCode": "0",
        "user": job.user.uuid,
        "command": job.command,
        "account": job.account.uuid,
        "status": "IN_PROGRESS" if step == "submit" else "SUCCEEDED",
    }
    call.region.log.tell(f"management-server.AsyncJobEvent.{step}.{kind}.*", json.dumps(message))
