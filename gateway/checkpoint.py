"""The checkpoint: the one way from a door to a store.

Every door calls :meth:`Checkpoint.decide`. It takes these steps, in this order, once:

1. **who** – the credentials establish a principal;
2. **where** – the client's address and the signals establish a location;
3. **what** – the target, in its one canonical form, is classified as a resource;
4. **why** – the ticket cited is looked up, with what hangs on it (one of another system is asked for there, unless
   what was said of it is not too old);
5. **may they** – the facts of 1 to 4 are judged by the policy; whom it permits may still be one too many for the door;
6. **written** – the decision is durable in the ledger.

Invariants: a step that fails denies, and the steps after it still establish what they can, for the record; whatever
happens, one decision is recorded for each call, or :class:`LedgerUnavailable` is raised and nothing may pass; a
:class:`Decision` in hand is a durable one. No protocol, no rule and no I/O but the ledger's lives
here.

Steps 1 to 4 are taken for every request. Where they establish exactly what they did before, step 5 remembers its
verdict, and step 6 the form of the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address

import structlog
import uuid_utils

from gateway.admission import Admission, Admissions
from gateway.attempt import MAX_REASON, MAX_TICKET, Approach, Attempt, Decision
from gateway.catalog import Catalog, Classified, Customers, Resource, Scope, Target
from gateway.catalog.catalog import never_forwarded
from gateway.catalog.customers import CustomerPlan
from gateway.catalog.routes import TRANSFERS, TUNNEL
from gateway.clock import Clock
from gateway.errors import GatewayError, LedgerUnavailable, Malformed, Unavailable, UsageError
from gateway.identity import Kind, Principal
from gateway.justification import Desk, Justification, TicketKind
from gateway.ledger.entry import Entry, Template
from gateway.location import Location
from gateway.masking import holds_token
from gateway.policy import DataKind, Facts, Plan, RoleScope, RoleTable
from gateway.ports import AddressResolving, Authenticating, Judging, Locating, Pseudonymising, Recording, Window
from gateway.recollection import Recollection
from gateway.record import VARYING, completion, fields_of, recorded_reason, varying
from gateway.refusal import LIMITED, NOBODY, NOTHING, NOWHERE, UNAVAILABLE, UNWRITABLE, allowed, bare, refusal

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The six rooms, and the order in which they are asked.

    Attributes:
        store_is_home: whether a store is declared in a home and its address resolves there.
        fresh: whether customers and plans in memory are known to be current.
        save_usage: called with a grant's id when its usage changed; see :mod:`gateway.usage`.
        deny_outside_window: whether the support window denies, or is only recorded.
        pseudonyms: take the place of people's names in the record, if set.
    """

    authenticator: Authenticating
    resolver: AddressResolving
    locator: Locating
    catalog: Catalog
    customers: Customers
    desk: Desk
    roles: RoleTable
    policy: Judging
    ledger: Recording
    clock: Clock
    window: Window
    home: frozenset[str]
    node: str
    store_is_home: Callable[[str, frozenset[str]], bool]
    fresh: Callable[[], bool]
    save_usage: Callable[[str], None] = lambda _grant: None
    deny_outside_window: bool = True
    max_target_bytes: int = 8_190
    pseudonyms: Pseudonymising | None = None
    admissions: Admissions = field(default_factory=Admissions)
    _recollection: Recollection = field(default_factory=Recollection, init=False, repr=False, compare=False)

    async def decide(self, approach: Approach, *, limit: Callable[[Principal], str] | None = None) -> Decision:
        """Judge a request and record the decision; see the steps above.

        Args:
            approach: what the door knows.
            limit: asked about who would be permitted: why not now, or "".

        Returns:
            The decision, durable.

        Raises:
            LedgerUnavailable: the decision could not be written down; nothing may pass.
        """
        now_us = self.clock.now_us()
        failures: list[GatewayError] = []
        principal = await self._who(approach, failures)
        if approach.ticket and principal.kind is Kind.PERSONNEL and not failures:
            waited = await self._ask_elsewhere(approach.ticket, failures)
            if waited:  # meanwhile a token may have been revoked, or a grant have ended
                now_us, principal = self.clock.now_us(), await self._who(approach, failures)
        attempt = self._attempt(approach, principal, now_us, failures)
        if self.pseudonyms and (unmet := _unmet(self.pseudonyms, attempt)):
            await self.pseudonyms.meet(*unmet)
            failures.clear()  # meanwhile, as above
            now_us, principal = self.clock.now_us(), await self._who(approach, failures)
            attempt = self._attempt(approach, principal, now_us, failures)
        try:
            decision, entry = self._judge_recalling(attempt, approach, failures)
            if limit and decision.permitted:
                decision, entry = self._within(limit, decision, entry, approach)
            return await self._write(decision, entry)
        except UsageError as error:  # it has no canonical form, or is too long
            log.error("decision_not_writable", problem=str(error))
            if approach.ambiguity == UNWRITABLE:
                raise LedgerUnavailable("a decision cannot be put into the form of the record") from error
        return await self.decide(Approach(approach.door, "", "", "", approach.peer, ambiguity=UNWRITABLE))

    def _within(
        self,
        limit: Callable[[Principal], str],
        decision: Decision,
        entry: Mapping[str, object] | Entry,
        approach: Approach,
    ) -> tuple[Decision, Mapping[str, object] | Entry]:
        """A permit as it is where the limit has nothing against it, else a denial: nothing is counted or admitted."""
        try:
            verdict, problem = LIMITED, limit(decision.attempt.principal)
        except Exception:
            log.exception("limit_failed")
            verdict, problem = UNAVAILABLE, "whether there are too many requests could not be established"
        if not problem:
            return decision, entry
        decision = decision._replace(verdict=verdict, problem=problem)
        return decision, self._fields(decision, approach)

    def _fields(self, decision: Decision, approach: Approach) -> Mapping[str, object]:
        """The entry of a decision."""
        fields = fields_of(decision, approach, node=self.node)
        if self.pseudonyms is None or not _is_person(decision.attempt.principal):
            return fields
        return self.pseudonyms.decision(fields)

    async def _write(self, decision: Decision, entry: Mapping[str, object] | Entry) -> Decision:
        """Step 6. A permit that lands when nobody waits for it any more is completed: nothing passed under it."""
        if not decision.permitted:
            return decision.at(await self.ledger.append(entry))
        grant = decision.attempt.justification.grant
        if grant:  # counted before anybody else can be judged, so that a cap on requests holds
            self.desk.count(grant.id, requests=1)
        try:
            unclaimed = partial(self._complete_unclaimed, decision)
            return decision.at(await self.ledger.append(entry, permit=True, unclaimed=unclaimed))
        except BaseException:  # nobody waits any more, too
            if grant:
                self.desk.count(grant.id, requests=-1)
            raise

    def _complete_unclaimed(self, decision: Decision) -> None:
        now_us = self.clock.now_us()
        self.ledger.submit(completion(decision, node=self.node, now_us=now_us, outcome="cut", status=0))

    def rehearse(self, approach: Approach, principal: Principal) -> Decision:
        """What :meth:`decide` would say to this principal; nothing is recorded, so nothing may pass on it."""
        failures: list[GatewayError] = []
        return self._judge(self._attempt(approach, principal, self.clock.now_us(), failures), failures)

    def admit(self, decision: Decision, approach: Approach) -> Admission:
        """Open a permitted decision for bytes to flow under it.

        Args:
            decision: as :meth:`decide` returned it.
            approach: what it was decided about.

        Raises:
            ValueError: the decision is a denial or was never recorded.
        """
        if not decision.permitted or decision.sequence < 0:
            raise ValueError("only a recorded permit can be admitted")
        admission = Admission(decision, approach, self)
        self.admissions.remember(admission)
        return admission

    async def judge_again(self, admission: Admission) -> str:
        """Why an admission in flight would be denied if its request came now, or ""; nothing is recorded.

        The request that it was admitted for is counted against its grant already, so the grant's caps are not asked
        again: the bytes are counted as they flow.
        """
        failures: list[GatewayError] = []
        now_us = self.clock.now_us()
        principal = await self._who(admission.approach, failures)
        if admission.decision.attempt.justification.ticket:
            self.desk.renew(admission.approach.ticket)  # behind the answer: the others in flight do not wait for it
        counted = admission.decision.attempt.justification.grant
        attempt = self._attempt(admission.approach, principal, now_us, failures, counted.id if counted else "")
        decision = self._judge(attempt, failures)
        if decision.permitted:
            return ""
        rule = decision.verdict.rules[0]
        if counted and attempt.justification.grant is None:
            return f"{rule}: the grant {counted.id} applies no longer"
        return f"{rule}: {decision.problem}" if decision.problem else rule

    async def _who(self, approach: Approach, failures: list[GatewayError]) -> Principal:
        try:
            if approach.account:
                return self.authenticator.accounted(approach.account)
            _require_one(approach.authorization, approach.on_behalf_of)
            if approach.certificate and not (approach.authorization or approach.on_behalf_of):
                return self.authenticator.certified(approach.certificate)
            return await self.authenticator.authenticate(_first(approach.authorization), _first(approach.on_behalf_of))
        except GatewayError as error:
            failures.append(bare(error))
        except Exception:
            log.exception("identity_failed")
            failures.append(Unavailable("who asks could not be established"))
        return NOBODY

    async def _ask_elsewhere(self, cited: str, failures: list[GatewayError]) -> bool:
        """Have the system that the ticket belongs to asked, if need be; whether that was so."""
        try:
            asking = self.desk.ask(cited)
            if asking is None:
                return False
            await asking
        except Exception:
            log.exception("tracker_failed")
            failures.append(Unavailable("why it is asked for could not be established"))
        return True

    def _where(self, approach: Approach, principal: Principal, failures: list[GatewayError]) -> Location:
        try:
            hops = approach.peer, approach.forwarded, approach.x_forwarded_for
            # A tool that acts for a person does not lend that person its own location.
            resolve = self.resolver.resolve_person if principal.actor else self.resolver.resolve
            location = self._located(resolve(*hops), principal)
            if principal.actor and not approach.on_behalf_of:
                # The token says that a tool acts, and nothing shows that it is the tool who sends it: whoever does has
                # to be at home too.
                location = replace(location, presenter=self._located(self.resolver.resolve(*hops), principal))
            return location
        except Exception:
            log.exception("location_failed")
            failures.append(Unavailable("where the request comes from could not be established"))
        return NOWHERE

    def _located(self, address: IPv4Address | IPv6Address | None, principal: Principal) -> Location:
        return self.locator.locate(address, token_country=principal.country, work_country=principal.work_country)

    def _what(self, approach: Approach, failures: list[GatewayError]) -> tuple[Target | None, Classified]:
        target: Target | None = None
        if approach.ambiguity:
            failures.append(Malformed(approach.ambiguity))
        if approach.method == TUNNEL:  # its target is no path (RFC 9112 §3.2.3)
            failures.append(never_forwarded(TUNNEL))
        try:
            target = self.catalog.read(approach.target, approach.host, max_bytes=self.max_target_bytes)
            if holds_token(target.path):  # what is permitted is recorded as it is, and no token is recorded
                failures.append(Malformed("the path holds a token; send it as the Authorization header"))
            verbs = TRANSFERS if approach.account else None
            return target, self.catalog.classify(
                approach.method, approach.host, target.path, approach.header, actions=verbs
            )
        except GatewayError as error:
            failures.append(bare(error))
        except Exception:
            log.exception("catalog_failed")
            failures.append(Unavailable("what is asked for could not be established"))
        return target, Classified(resource=NOTHING, route=None)

    def _attempt(
        self,
        approach: Approach,
        principal: Principal,
        now_us: int,
        failures: list[GatewayError],
        counted: str = "",
    ) -> Attempt:
        """Steps 2 to 4; ``counted`` is a grant whose caps are not asked."""
        location = self._where(approach, principal, failures)
        target, classified = self._what(approach, failures)
        resource = classified.resource
        plan, held = self._plan(resource, now_us, failures)
        justification = self._why(approach, principal, resource, now_us, failures, counted)
        home = held.home_or(self.home) if held else self.home
        if resource.scope is Scope.MANY:  # home to all of them, or to none
            home = self.customers.common_home(self.home)
        plan_id = held.id if held else ""
        return Attempt(
            principal=principal,
            location=location,
            resource=resource,
            justification=justification,
            time_us=now_us,
            home=home,
            plan=plan,
            plan_id=plan_id,
            target=target,
            route=classified.route,
            out_of_hours=self._out_of_hours(principal, resource, justification, now_us, failures),
        )

    def _plan(self, resource: Resource, now_us: int, failures: list[GatewayError]) -> tuple[Plan, CustomerPlan | None]:
        """Whether a plan is in effect, and the customer's own where one customer is asked for."""
        try:
            customer = self.customers.get(resource.customer) if resource.scope is Scope.ONE else None
            held = customer.plan_at(now_us) if customer else None
            if held:
                return Plan.IN_EFFECT, held
            if not self.fresh() or resource.scope in (Scope.UNKNOWN, Scope.UNROUTED):
                return Plan.UNKNOWN, None
            many = resource.scope is Scope.MANY and self.customers.any_protected(now_us)
            return (Plan.IN_EFFECT if many else Plan.NONE), None
        except Exception:
            log.exception("plans_failed")
            failures.append(Unavailable("whether a plan is in effect could not be established"))
            return Plan.UNKNOWN, None

    def _why(
        self,
        approach: Approach,
        principal: Principal,
        resource: Resource,
        now_us: int,
        failures: list[GatewayError],
        counted: str,
    ) -> Justification:
        cited, reason = approach.ticket[:MAX_TICKET], approach.reason[:MAX_REASON]
        try:
            return self.desk.justify(
                subject=principal.subject,
                resource=resource,
                cited=cited,
                reason=reason,
                now_us=now_us,
                counted=counted,
            )
        except Exception:
            log.exception("desk_failed")
            failures.append(Unavailable("why it is asked for could not be established"))
            return Justification(cited=cited, reason=reason)

    def _judge_recalling(
        self, attempt: Attempt, approach: Approach, failures: list[GatewayError]
    ) -> tuple[Decision, Mapping[str, object] | Entry]:
        """The decision and its entry, from memory where the same was judged before."""
        key = None if failures else self._key(attempt, approach)
        judged = self._recollection.recall(key) if key else None
        if judged and attempt.target:
            id_ = str(uuid_utils.uuid7())
            decision = Decision(id_, attempt, judged.verdict, self.policy.version, "", judged.facts)
            return decision, judged.template.fill(varying(decision))
        decision = self._judge(attempt, failures)
        fields = self._fields(decision, approach)
        if key and decision.facts and not decision.problem:
            self._recollection.remember(key, decision.facts, decision.verdict, Template(fields, VARYING))
        return decision, fields

    def _key(self, attempt: Attempt, approach: Approach) -> Hashable | None:
        """All that a verdict and its entry rest on, but for the instant and the path; None where it cannot be told."""
        try:
            return (
                attempt.principal,
                attempt.location,
                attempt.resource,
                attempt.justification,
                attempt.plan,
                attempt.plan_id,
                attempt.home,
                self._is_home(attempt),
                attempt.out_of_hours,
                self.policy.version,
                approach.door,
                approach.method,
                self.pseudonyms.state if self.pseudonyms else None,
            )
        except Exception:  # whoever judges meets it too, and says so
            return None

    def _judge(self, attempt: Attempt, failures: list[GatewayError]) -> Decision:
        facts: Facts | None = None
        verdict, problem = refusal(failures)
        if verdict is None:
            try:
                facts = self._facts(attempt)
                verdict = self.policy.decide(facts)
            except Exception:
                log.exception("policy_failed")
                verdict, problem = UNAVAILABLE, "the policy could not be asked"
        return Decision(
            id=str(uuid_utils.uuid7()),
            attempt=attempt,
            verdict=verdict,
            policy_version=self.policy.version,
            problem=problem,
            facts=facts,
            allowed=allowed(failures) if failures else None,
        )

    def _facts(self, attempt: Attempt) -> Facts:
        principal, resource, why = attempt.principal, attempt.resource, attempt.justification
        personnel = principal.kind is Kind.PERSONNEL
        return Facts(
            principal=principal.kind,
            role=self._role(principal, resource),
            infosec=personnel and "infosec" in principal.roles,
            engineer=personnel and "engineer" in principal.roles,
            own_customer=principal.kind is Kind.CUSTOMER
            and resource.scope is Scope.ONE
            and principal.customer == resource.customer,
            location=attempt.location.judge(attempt.home)[0],
            scope=resource.scope,
            plan=attempt.plan,
            data=_DATA_KINDS.get(resource.data_class, DataKind.OTHER),
            action=resource.action,
            incident=personnel and why.incident,
            grant=personnel and why.grant is not None,
            authorization=personnel and why.authorization is not None,
            storage_home=self._is_home(attempt),
            support_closed=personnel and attempt.out_of_hours and self.deny_outside_window,
        )

    def _is_home(self, attempt: Attempt) -> bool:
        resource = attempt.resource
        return resource.scope is Scope.UNROUTED or self.store_is_home(resource.store, attempt.home)

    def _role(self, principal: Principal, resource: Resource) -> RoleScope:
        """Where there is no route there is nothing that a role could be asked about: ``unclassified`` says so."""
        if resource.scope is Scope.UNROUTED:
            return RoleScope.ALLOWED
        roles = _SERVICE if principal.kind is Kind.SERVICE else principal.roles  # a service has its own line alone
        return self.roles.scope(roles, resource.data_class, resource.action, subject=principal.subject)

    def _out_of_hours(
        self,
        principal: Principal,
        resource: Resource,
        why: Justification,
        now_us: int,
        failures: list[GatewayError],
    ) -> bool:
        """Whether a support analyst cites a case outside the support window.

        Severity 1 is supported around the clock; a ticket that is unknown, closed or stale is not known to be that, and
        one customer's critical case is no reason to see another's data.
        """
        try:
            if not why.cited or "support" not in principal.roles or self.window.is_open(now_us):
                return False
        except Exception:
            log.exception("window_failed")
            failures.append(Unavailable("whether support is open could not be established"))
        if why.ticket is None or (resource.scope is Scope.ONE and not why.ticket.covers(resource.customer)):
            return True
        return why.ticket.kind is TicketKind.SUPPORT and why.ticket.severity > 1

    def record_completion(self, admission: Admission, outcome: str, status: int) -> None:
        """Hand the completion to the ledger; nobody waits for it. One that it does not take is named in the log."""
        entry = completion(
            admission.decision,
            node=self.node,
            now_us=self.clock.now_us(),
            outcome=outcome,
            status=status,
            why=admission.ended,
            frames=admission.frames,
            bytes_in=admission.bytes_in,
            bytes_out=admission.bytes_out,
            file=(admission.offset, admission.digest) if admission.digest else None,
        )
        try:
            self.ledger.submit(entry)
        except LedgerUnavailable as error:
            log.error("ledger_entry_lost", id=entry.id, decision=admission.decision.id, problem=str(error))


_SERVICE = frozenset({"service"})
_DATA_KINDS = {kind.value: kind for kind in DataKind if kind is not DataKind.OTHER}


def _unmet(pseudonyms: Pseudonymising, attempt: Attempt) -> tuple[str, str, str] | None:
    """Whoever asks, their address and their reason, where something of it was not recorded by a pseudonym before."""
    if not _is_person(attempt.principal):
        return None
    why = attempt.justification
    said = attempt.principal.subject, attempt.location.address, recorded_reason(why) if why.reason else ""
    return None if pseudonyms.knows(*said) else said


def _is_person(principal: Principal) -> bool:
    return bool(principal.subject) and principal.kind is not Kind.SERVICE


def _first(values: Sequence[str]) -> str | None:
    return values[0] if values else None


def _require_one(authorization: Sequence[str], on_behalf_of: Sequence[str]) -> None:
    if len(authorization) > 1 or len(on_behalf_of) > 1:
        raise Malformed("several credentials came; expected one Authorization header")
