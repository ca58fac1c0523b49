"""Other ticket systems: asked over https, and heard when they push.

A :class:`JiraTracker` and a :class:`ServiceNowTracker` are what :class:`~gateway.justification.TrackedTickets` asks by
id; both ask through a :class:`TrackerClient`. :class:`TicketHooks` takes signed webhooks: what a system pushes becomes
a ticket of the state, and what Jira or ServiceNow push makes the gateway ask anew at once. A :class:`Homing` is how a
ticket of theirs is handed off. :func:`tracked_tickets` makes all of it from a configuration.

Promised: only an id that matches the tracker's pattern is ever sent, and only an answer about that very id is believed;
no redirect is followed, no answer is read without a bound or a deadline; a push without a good signature, an old one
and one that came before change nothing; no credential and no body stands in an error or a log.
"""

from gateway.trackers.assembly import (
    Homing,
    find,
    hand_off,
    probe,
    require_handed_off,
    tracked_tickets,
    tracker_of,
)
from gateway.trackers.client import TrackerClient
from gateway.trackers.hooks import TicketHooks
from gateway.trackers.jira import JiraTracker
from gateway.trackers.servicenow import ServiceNowTracker

__all__ = [
    "Homing",
    "JiraTracker",
    "ServiceNowTracker",
    "TicketHooks",
    "TrackerClient",
    "find",
    "hand_off",
    "probe",
    "require_handed_off",
    "tracked_tickets",
    "tracker_of",
]
