"""Residency Gateway: every door leads through one checkpoint.

The checkpoint asks five questions, writes the answer down, and only then does a byte move. Each question is a room:

========================  ==========  ====================================================================
room                      question    answer
========================  ==========  ====================================================================
:mod:`~gateway.identity`       who?        a :class:`~gateway.identity.Principal`
:mod:`~gateway.location`       where?      a :class:`~gateway.location.Location` with its signals
:mod:`~gateway.catalog`        what?       a :class:`~gateway.catalog.Resource`
:mod:`~gateway.justification`  why?        a :class:`~gateway.justification.Justification`
:mod:`~gateway.policy`         may they?   a :class:`~gateway.policy.Verdict` on :class:`~gateway.policy.Facts`
:mod:`~gateway.ledger`         –           a sequence: the decision is durable
========================  ==========  ====================================================================

:mod:`~gateway.checkpoint` asks them in that order for every door of :mod:`~gateway.proxy`; :mod:`~gateway.app` puts
everything together; :mod:`~gateway.storage` keeps the state, :mod:`~gateway.support` knows hours and prices,
:mod:`~gateway.acts` is what people do, :mod:`~gateway.notification` tells who should know, :mod:`~gateway.feeds`
takes the record to systems outside, :mod:`~gateway.cli` is the command line, :mod:`~gateway.console` the API, and
:mod:`~gateway.demo` a sample world.

Promised: default deny; no byte before its decision is durable; what was judged is what is recorded and forwarded.
"""
