"""A scan finds what no event told: changes, losses, removals with all they took along, and strangers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import update

from pipeline.agents.publish import Message
from pipeline.core import topics
from pipeline.core.compare import SHORT_FLOOR, Outcome
from pipeline.core.entities import DISABLED, Kind
from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.core.events import ABSENT, SCAN, parse_event
from pipeline.core.makeshift import PROBE
from pipeline.core.records import Observation
from pipeline.outbox.engine import writing
from pipeline.outbox.scans import DONE, LEASE_MS, RESUME_MS, SUSPENDED, ScanLost, ScanRunning
from pipeline.outbox.schema import outbox, scan, scan_page
from tests.component.agents.rig import SERVICE, Killed, Topics
from tests.component.reconcile.net import FAMILY, FAR, HERE, Net
from tests.unit.agents.regions import account, domain, user
from tests.unit.outbox.builders import rows

LATER = 3_600_000


async def test_equal_regions_cost_the_lists_alone(net: Net) -> None:
    await net.family()
    row = await net.scan()
    assert (row.state, row.suspended, row.calls) == (DONE, None, 3)
    assert {one: n for one, n in row.counts.items() if n and one is not Outcome.PROTECTED} == {
        Outcome.EQUAL: 4
    }
    assert net.hinted() == set()
    assert net.rig.region.calls.by_command(SERVICE) == {"listDomains": 1, "listAccounts": 1, "listUsers": 1}


async def test_a_probe_is_neither_counted_nor_taken_over(net: Net) -> None:
    await net.family()
    counted = (await net.scan()).counts
    probe = await net.rig.api.domain(f"{PROBE}0123abcd")
    assert (await net.scan()).counts == counted
    assert net.hinted() == set()
    await net.heal()
    assert net.far == []
    assert probe not in net.rig.hub.load([probe])
    await net.rig.api.domain("theirs")
    await net.heal()
    assert [(one.fields or {})["name"] for one in net.far] == ["theirs"]


async def test_what_differs_is_asked_for_as_a_scans_hint(net: Net) -> None:
    await net.family()
    net.live("User", "bob").email = "new@example.org"
    row = await net.scan()
    assert row.counts[Outcome.DIFFERENT] == 1
    (hint,) = net.rig.kafka.take(topics.events(HERE))
    event = parse_event(hint.value)
    assert (hint.key, event.type, event.kind, event.uuid) == (b"bob", SCAN, Kind.USER, "bob")


async def test_a_change_that_nobody_heard_of_has_the_time_of_its_event(net: Net) -> None:
    await net.family()
    await net.rig.api("updateUser", id="bob", email="new@example.org")
    net.rig.api.events.clear()  # the bus was away
    when = net.rig.region.region.log.rows[-1].created_ms // 1000 * 1000
    await net.heal()
    email = net.record("bob").fields["email"]
    assert (email.text, email.stamp.region) == ("new@example.org", HERE)
    assert email.stamp.time == when
    assert [(one.uuid, (one.fields or {})["email"]) for one in net.far] == [("bob", "new@example.org")]
    assert (await net.scan()).counts[Outcome.DIFFERENT] == 0


async def test_an_entity_edited_behind_the_systems_back(net: Net) -> None:
    await net.family()
    net.live("Domain", "dom").networkdomain = "edited.example"
    await net.heal()
    assert net.record("dom").fields["networkdomain"].text == "edited.example"
    assert [one.uuid for one in net.far] == ["dom"]


async def test_a_user_locked_out_without_an_event(net: Net) -> None:
    await net.family()
    net.live("User", "ann").state = DISABLED
    await net.heal()
    assert net.record("ann").fields["state"].text == DISABLED
    assert [(one.uuid, (one.fields or {})["state"]) for one in net.far] == [("ann", DISABLED)]


async def test_a_removal_that_nobody_heard_of_is_spread(net: Net) -> None:
    await net.family()
    await net.rig.api("deleteUser", id="bob")
    net.rig.api.events.clear()
    when = net.rig.region.region.log.rows[-1].created_ms // 1000 * 1000
    await net.heal()
    life = net.record("bob").life
    assert not life.present
    assert life.stamp.region == HERE
    assert life.stamp.time >= when
    assert [(one.uuid, one.fields) for one in net.far] == [("bob", None)]


@pytest.mark.parametrize(
    ("kind", "lost"),
    [("User", "bob"), ("User", "ann"), ("Account", "acc"), ("Domain", "dom")],
)
async def test_what_a_region_lost_is_made_there_again(net: Net, kind: str, lost: str) -> None:
    """A backup was restored: nobody removed it, and its UUID is used up."""
    await net.family()
    before = net.rig.region.dump()
    net.lose(kind, lost)
    assert net.rig.region.dump() != before
    await net.heal()
    assert net.rig.region.dump() == before
    assert net.record(lost).life.present
    assert net.rig.local(lost) != lost
    assert [one for one in net.far if one.fields is None] == []
    row = await net.scan()
    assert (row.counts[Outcome.MISSING], row.counts[Outcome.UNKNOWN], row.counts[Outcome.DIFFERENT]) == (
        0,
        0,
        0,
    )


async def test_what_a_region_lost_is_made_there_again_though_a_change_comes_before_the_scan(net: Net) -> None:
    await net.family()
    net.lose("User", "bob")
    change = dict(net.record("bob").desired() or {}) | {"email": "far@example.org"}
    await net.rig.give(*net.merge(Observation(FAR, Kind.USER, "bob", change, net.rig.clock() + 1)))
    await net.rest()
    assert net.record("bob").life.present
    assert {user.email for user in net.world.live_users.values() if user.username == "bob"} == {
        "far@example.org"
    }
    assert net.far == []


@pytest.mark.parametrize(("kind", "lost"), [("Account", "acc"), ("Domain", "dom")])
async def test_what_is_new_in_what_a_region_lost_holds_up_nobody_and_has_it_read(
    net: Net, kind: str, lost: str
) -> None:
    """No event tells of the loss, and no scan has found it yet."""
    await net.family()
    net.lose(kind, lost)
    new = user(FAR, "new") if kind == "Account" else account(FAR, "new", parent="dom", founder="first")
    (wanted, *_) = net.merge(new)
    await net.rig.give(wanted)  # until it is acknowledged
    assert net.rig.outbox(wanted)["message"] == f"waits for {lost}"
    await net.rest()
    assert "new" in net.names("users" if kind == "Account" else "accounts")
    assert lost in net.names("accounts" if kind == "Account" else "domains")
    assert all(net.record(uuid).life.present for uuid in ("dom", "acc", "ann", "bob")), "nobody removed them"


async def test_what_a_region_lost_is_not_removed_elsewhere_by_late_word_of_a_change(net: Net) -> None:
    """The event was on its way when the backup was restored."""
    await net.family()
    before = net.names("users")
    await net.rig.api("updateUser", id="bob", email="new@example.org")
    net.lose("User", "bob")
    await net.rig.hear()
    await net.rest()
    assert net.record("bob").life.present
    assert net.names("users") == before
    assert net.far == []


async def test_what_is_new_in_an_account_that_was_renamed_without_an_event_has_it_read(net: Net) -> None:
    await net.family()
    net.world.rename_account(net.live("Account", "acc"), "edited")
    await net.rig.give(*net.merge(user(FAR, "new")))
    await net.rest()
    assert net.record("acc").fields["name"].text == "edited"
    assert "new" in net.names("users")


async def test_a_change_to_what_went_with_its_account_does_not_bring_it_back(net: Net) -> None:
    """Nobody has told yet that the account is removed; the log tells of it alone."""
    await net.family()
    await net.rig.api.job("deleteAccount", id="acc")
    change = dict(net.record("bob").desired() or {}) | {"email": "far@example.org"}
    desired = net.merge(Observation(FAR, Kind.USER, "bob", change, net.rig.clock() + 1))
    await net.rig.give(*desired)
    lost = net.merge(*net.rig.observed())
    assert [(one.uuid, one.fields is None) for one in lost] == [("bob", False)]
    await net.rig.hear()
    await net.rest()
    await net.rig.give(*lost)
    await net.rest()
    assert not net.record("bob").life.present
    assert net.names("accounts") == net.names("users") == set()


async def test_what_a_region_lost_is_made_there_again_under_its_own_uuid_where_it_can(net: Net) -> None:
    await net.family()
    net.lose("User", "bob")
    del net.world.by_uuid["User"]["bob"]
    await net.heal()
    assert "bob" in net.names("users")
    assert net.rig.local("bob") == "bob"


async def test_what_was_never_there_is_made_though_nobody_tells_of_it(net: Net) -> None:
    """The region came in after all of it had been made elsewhere: nothing was ever sent to it."""
    net.while_away(*FAMILY)
    row = await net.scan()
    assert (row.state, row.counts[Outcome.MISSING], row.calls) == (DONE, 4, 3)
    told = [parse_event(one.value) for one in net.rig.kafka.messages]
    assert {one.type for one in told} == {ABSENT}
    assert [one.kind for one in told] == [Kind.DOMAIN, Kind.ACCOUNT, Kind.USER, Kind.USER]
    await net.rest()
    assert net.names("domains") | net.names("accounts") | net.names("users") == {"dom", "acc", "ann", "bob"}
    assert net.far == []
    net.rig.region.calls.clear()
    row = await net.scan()
    assert (row.counts[Outcome.EQUAL], row.counts[Outcome.MISSING], net.hinted()) == (4, 0, set())


async def test_what_is_on_its_way_is_not_told_to_be_absent(net: Net) -> None:
    net.while_away(*FAMILY)
    await net.scan()
    for one in net.rig.kafka.take(topics.events(HERE)):
        await net.answer(one)
    desired = net.merge(*net.rig.observed())
    assert len(desired) == 4
    row = await net.scan()
    assert (row.counts[Outcome.MISSING], net.hinted()) == (0, set())
    await net.rig.give(*desired)
    await net.rest()
    assert net.names("users") == {"ann", "bob"}


async def test_what_was_refused_is_tried_again_by_the_next_scan(net: Net) -> None:
    """Its row is dead: nothing is under way."""
    taken = await net.rig.api.domain("dom")
    (wanted,) = net.merge(domain(FAR, "dom", "dom"))
    with writing(net.rig.engine) as connection:
        connection.execute(update(outbox).values(state="dead"))
    await net.rig.api("updateDomain", id=taken, name="free")
    net.rig.api.events.clear()
    await net.heal()
    assert net.names("domains") == {"dom", "free"}
    assert net.record("dom").version > wanted.version


async def test_what_was_never_there_makes_no_list_too_short(net: Net) -> None:
    net.while_away(*(domain(FAR, f"d{number:03}") for number in range(SHORT_FLOOR + 30)))
    row = await net.scan()
    assert (row.state, row.counts[Outcome.MISSING]) == (DONE, SHORT_FLOOR + 30)
    assert len(net.hinted()) == SHORT_FLOOR + 30


async def test_a_list_that_is_not_believed_shows_nothing_to_be_absent(net: Net) -> None:
    await crowd(net, SHORT_FLOOR + 3)
    for number in range(SHORT_FLOOR + 1):
        net.lose("Domain", f"d{number:03}")
    net.while_away(domain(FAR, "new"))
    row = await net.scan()
    assert (row.state, net.hinted()) == (SUSPENDED, set())


async def test_a_walk_that_was_cut_off_is_begun_again(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.reconcile.scan.MISSING_AT_ONCE", 2)
    monkeypatch.setattr("pipeline.reconcile.scan.TRIES", 1)
    net.while_away(*(domain(FAR, f"d{number}") for number in range(5)))

    class Dying(Topics):
        async def publish(self, messages: Sequence[Message]) -> None:
            if self.messages:
                raise TemporaryError("Kafka is away")
            await super().publish(messages)

    alive, net.rig.kafka = net.rig.kafka, Dying()
    with pytest.raises(TemporaryError):
        await net.scan()
    assert len(net.hinted()) == 2
    net.rig.kafka = alive
    row = await net.scanner().run("another")
    assert (row.state, row.calls, row.counts[Outcome.MISSING]) == (DONE, 3, 5)
    await net.rest()
    assert net.names("domains") == {f"d{number}" for number in range(5)}


async def test_what_was_lost_and_could_not_be_made_again_is_read_again(net: Net) -> None:
    """It was there once: whether somebody removed it, the region's log says."""
    await net.family()
    net.lose("User", "bob")
    net.rig.clock.now += LATER
    await net.scan()
    for one in net.rig.kafka.take(topics.events(HERE)):
        await net.answer(one)
    net.merge(*net.rig.observed())
    with writing(net.rig.engine) as connection:
        connection.execute(update(outbox).where(outbox.c.state == "pending").values(state="dead"))
    row = await net.scan()
    assert row.counts[Outcome.MISSING] == 1
    assert [parse_event(one.value).type for one in net.rig.kafka.messages] == [SCAN]
    await net.rest()
    assert "bob" in net.names("users")


async def test_a_silent_cascade_that_nobody_heard_of_ends_removed(net: Net) -> None:
    """The event log tells of the domain alone, so all below it look as if the region had lost them."""
    await net.family()
    await net.rig.api.job("deleteDomain", id="dom", cleanup="true")
    net.rig.api.events.clear()
    await net.heal()
    await net.heal()
    for uuid in ("dom", "acc", "ann", "bob"):
        assert not net.record(uuid).life.present, uuid
    assert net.rig.region.dump() == {"domains": {}, "accounts": {}, "users": {}}
    assert {one.uuid for one in net.far if one.fields is None} == {"dom", "acc", "ann", "bob"}


async def test_a_silent_cascade_ends_removed_though_the_lowest_is_read_first(net: Net) -> None:
    await net.family()
    await net.rig.api.job("deleteDomain", id="dom", cleanup="true")
    net.rig.api.events.clear()
    await net.scan()
    order = {b"bob": 0, b"ann": 1, b"acc": 2, b"dom": 3}
    hints = sorted(net.rig.kafka.take(topics.events(HERE)), key=lambda one: order[one.key or b""])
    assert len(hints) == 4
    applied_later = []
    for one in hints:
        await net.answer(one)
        applied_later += net.merge(*net.rig.observed())
    assert [one.uuid for one in applied_later if one.fields is not None] != []  # it did look lost
    await net.rest()
    await net.rig.give(*applied_later)
    await net.rest()
    for uuid in order:
        assert not net.record(uuid.decode()).life.present, uuid
    assert net.rig.region.dump() == {"domains": {}, "accounts": {}, "users": {}}


async def test_an_account_removed_without_a_word_takes_its_users(net: Net) -> None:
    await net.family()
    await net.rig.api.job("deleteAccount", id="acc")
    net.rig.api.events.clear()
    await net.heal()
    await net.heal()
    assert [net.record(uuid).life.present for uuid in ("dom", "acc", "ann", "bob")] == [True] + [False] * 3


async def test_the_hub_s_own_hint_below_a_removal_may_be_answered_with_the_scans(net: Net) -> None:
    """One read answers both; the removal of the account has been merged by then."""
    await net.family()
    await net.rig.api.job("deleteAccount", id="acc")
    net.rig.api.events.clear()
    await net.scan()
    hints = {one.key: one for one in net.rig.kafka.take(topics.events(HERE))}
    await net.answer(hints[b"acc"])
    net.merge(*net.rig.observed())
    assert net.hinted() == {"ann", "bob"}
    net.rig.kafka.messages.clear()
    for key in (b"ann", b"bob"):
        await net.answer(hints[key])
    net.merge(*net.rig.observed())
    assert [net.record(uuid).life.present for uuid in ("ann", "bob")] == [False, False]


async def test_a_log_that_cannot_be_asked_leads_to_no_removal(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise PermanentError("not allowed")

    await net.family()
    net.lose("User", "bob")
    monkeypatch.setattr(net.rig.desk.resources, "history", refuse)
    await net.heal()
    assert net.record("bob").life.present
    assert net.far == []


async def test_a_stranger_is_taken_over(net: Net) -> None:
    await net.family()
    made = await net.rig.api.domain("Sales")
    _, first = await net.rig.api.account("clerk", made)
    net.rig.api.events.clear()
    row = await net.heal()
    assert row.counts[Outcome.UNKNOWN] == 3
    assert net.record(made).life.present
    assert {(one.kind, one.uuid) for one in net.far} >= {(Kind.DOMAIN, made), (Kind.USER, first)}


async def test_what_is_left_of_an_entity_that_was_removed_elsewhere_is_removed(net: Net) -> None:
    """The region was away from its own UUIDs: the same domain is there under another one."""
    made = await net.rig.api.domain("Sales")
    net.rig.api.events.clear()
    later = net.rig.clock() + LATER
    net.merge(domain(FAR, "old", "SALES"))  # never applied here
    net.merge(replace(domain(FAR, "old", "SALES", time=later), fields=None))
    net.far.clear()
    await net.heal()
    assert not net.record(made).life.present
    assert net.names("domains") == set()
    assert net.far == []


async def test_one_made_after_the_removal_of_its_namesake_is_taken_over(net: Net) -> None:
    net.merge(domain(FAR, "old", "Sales", time=1_000))
    net.merge(replace(domain(FAR, "old", "Sales", time=2_000), fields=None))
    net.far.clear()
    made = await net.rig.api.domain("Sales")
    net.rig.api.events.clear()
    await net.heal()
    assert net.record(made).life.present
    assert net.names("domains") == {"Sales"}


async def test_what_a_backup_brought_back_is_removed_again(net: Net) -> None:
    await net.family()
    await net.rig.api("deleteUser", id="bob")
    await net.rig.hear()
    await net.rest()
    bob = net.live("User", "bob")
    bob.removed = False
    net.world._index_user(bob)
    assert "bob" in net.names("users")
    row = await net.heal()
    assert row.counts[Outcome.DIFFERENT] == 1
    assert "bob" not in net.names("users")
    assert not net.record("bob").life.present


async def test_what_is_under_way_is_left_alone(net: Net) -> None:
    await net.family()
    change = dict(net.record("bob").desired() or {}) | {"email": "far@example.org"}
    net.merge(Observation(FAR, Kind.USER, "bob", change, net.rig.clock() + 1_000_000))
    net.live("User", "bob").email = "new@example.org"
    row = await net.scan()
    assert (row.counts[Outcome.IN_FLIGHT], row.counts[Outcome.DIFFERENT]) == (1, 0)
    assert net.hinted() == set()


async def crowd(net: Net, count: int) -> None:
    for number in range(count):
        await net.rig.give(*net.merge(domain(FAR, f"d{number:03}")))
    net.merge(*net.rig.observed())


async def test_a_list_that_is_much_shorter_is_not_believed(net: Net) -> None:
    await crowd(net, SHORT_FLOOR + 3)
    for number in range(SHORT_FLOOR + 1):
        net.lose("Domain", f"d{number:03}")
    net.live("Domain", "d022").networkdomain = "still.told"
    row = await net.scan()
    assert row.state == SUSPENDED
    assert "21 of 23 known ones are not in the list" in (row.suspended or "")
    assert row.counts[Outcome.MISSING] == SHORT_FLOOR + 1
    assert net.hinted() == {"d022"}, "a difference that was seen is one all the same"
    row = await net.scan(share=1.0)
    assert row.state == DONE
    assert len(net.hinted()) == SHORT_FLOOR + 2


async def test_an_empty_list_is_not_believed(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    await net.family()
    page = net.rig.desk.resources.page

    async def empty(kind: Kind, number: int) -> tuple[Sequence[object], int]:
        return ([], 0) if kind is Kind.USER else await page(kind, number)

    monkeypatch.setattr(net.rig.desk.resources, "page", empty)
    row = await net.scan()
    assert (row.state, row.suspended) == (SUSPENDED, "Users: the list is empty")
    assert net.hinted() == set()


async def test_one_scan_at_a_time(net: Net) -> None:
    running = net.store.begin("other")
    net.rig.clock.now += LEASE_MS - 1
    with pytest.raises(ScanRunning):
        await net.scanner().run("me")
    assert [row["owner"] for row in rows(net.rig.engine, scan)] == [running.owner]


@pytest.mark.parametrize("how", ["killed", "refused"])
async def test_a_scan_that_was_cut_off_goes_on_at_its_page(
    net: Net, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.reconcile.scan.PAGE", 10)
    monkeypatch.setattr("pipeline.cloudstack.resources.PAGE", 10)
    monkeypatch.setattr("pipeline.reconcile.scan.AT_ONCE", 1)
    monkeypatch.setattr("pipeline.reconcile.scan.TRIES", 1)
    await crowd(net, 55)
    net.lose("Domain", "d000")
    net.live("Domain", "d050").networkdomain = "late"
    net.rig.kafka.messages.clear()
    net.rig.region.calls.clear()

    class Dying(Topics):
        async def publish(self, messages: Sequence[Message]) -> None:
            raise Killed if how == "killed" else TemporaryError("Kafka is away")

    async def not_at_all(*_: object) -> None:
        """What is killed says no last word."""

    alive, net.rig.kafka = net.rig.kafka, Dying()
    if how == "killed":
        monkeypatch.setattr("pipeline.reconcile.scan.Scanner._pause", not_at_all)
    with pytest.raises(Killed if how == "killed" else TemporaryError):
        await net.scan()
    net.rig.kafka = alive
    done = rows(net.rig.engine, scan_page)
    assert 0 < len(done) < 8
    if how == "killed":
        with pytest.raises(ScanRunning):
            await net.scanner().run("another")
        net.rig.clock.now += LEASE_MS
    row = await net.scanner().run("another")
    assert row.state == DONE
    pages = 6 + 1 + 1
    assert net.rig.region.calls.reads(SERVICE) == pages + 1, "the page that was cut off is read again"
    assert row.calls == pages
    assert (row.counts[Outcome.EQUAL], row.counts[Outcome.DIFFERENT], row.counts[Outcome.MISSING]) == (
        53,
        1,
        1,
    )
    assert net.hinted() == {"d000", "d050"}
    assert rows(net.rig.engine, scan_page) == []


async def test_a_scan_that_was_cut_off_long_ago_begins_anew(net: Net) -> None:
    net.store.begin("dead")
    net.rig.clock.now += RESUME_MS
    row = await net.scan()
    assert [(one["state"], one["owner"]) for one in rows(net.rig.engine, scan)] == [
        ("abandoned", "dead"),
        ("done", "me"),
    ]
    assert row.calls == 3


async def test_a_scan_that_was_taken_over_stops(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.reconcile.scan.BEAT_EVERY_S", 0.01)
    reached, go_on = asyncio.Event(), asyncio.Event()
    page = net.rig.desk.resources.page

    async def slow(kind: Kind, number: int) -> object:
        reached.set()
        await go_on.wait()
        return await page(kind, number)

    monkeypatch.setattr(net.rig.desk.resources, "page", slow)
    scanning = asyncio.create_task(net.scanner().run("slow"))
    await reached.wait()
    net.rig.clock.now += LEASE_MS + 1
    net.store.begin("another")
    with pytest.raises(ScanLost):
        await asyncio.wait_for(scanning, 10)
