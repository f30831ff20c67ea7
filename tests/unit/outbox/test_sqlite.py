"""The stores' contracts on SQLite."""

from __future__ import annotations

from tests.unit.outbox.acting_contract import ActingContract
from tests.unit.outbox.audit_contract import AuditContract
from tests.unit.outbox.decisions_contract import DecisionsContract
from tests.unit.outbox.exposure_contract import ExposureContract
from tests.unit.outbox.fencing_contract import FencingContract
from tests.unit.outbox.gaps_contract import GapsContract, LeaseContract
from tests.unit.outbox.holds_contract import HoldsContract
from tests.unit.outbox.hub_contract import HubContract
from tests.unit.outbox.looking_contract import LookingContract
from tests.unit.outbox.measures_contract import MeasuresContract
from tests.unit.outbox.plan_contract import PlanContract
from tests.unit.outbox.proof_contract import ProofContract
from tests.unit.outbox.pulses_contract import PulsesContract
from tests.unit.outbox.reads_contract import ReadsContract
from tests.unit.outbox.region_contract import RegionContract
from tests.unit.outbox.replays_contract import ReplaysContract
from tests.unit.outbox.retention_contract import RetentionContract
from tests.unit.outbox.roles_contract import RolesContract
from tests.unit.outbox.scan_contract import ScanContract
from tests.unit.outbox.sealed_contract import SealedContract
from tests.unit.outbox.untold_contract import UntoldContract


class TestHub(HubContract):
    pass


class TestRegion(RegionContract):
    pass


class TestAudit(AuditContract):
    pass


class TestHolds(HoldsContract):
    pass


class TestExposure(ExposureContract):
    pass


class TestUntold(UntoldContract):
    pass


class TestGaps(GapsContract):
    pass


class TestLease(LeaseContract):
    pass


class TestScan(ScanContract):
    pass


class TestProof(ProofContract):
    pass


class TestActing(ActingContract):
    pass


class TestLooking(LookingContract):
    pass


class TestMeasures(MeasuresContract):
    pass


class TestPlan(PlanContract):
    pass


class TestRoles(RolesContract):
    pass


class TestDecisions(DecisionsContract):
    pass


class TestPulses(PulsesContract):
    pass


class TestFencing(FencingContract):
    pass


class TestReplays(ReplaysContract):
    pass


class TestSealed(SealedContract):
    pass


class TestRetention(RetentionContract):
    pass


class TestReads(ReadsContract):
    pass
