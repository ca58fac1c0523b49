"""What? Routes, customers and their plans, and where the stores are.

:func:`canonical` gives a request target its one form; a :class:`RouteTable` finds the :class:`Route`; the
:class:`Catalog` makes of both a :class:`Resource`: store, data class, customer, action. :class:`Customers` holds
each :class:`Customer` with every :class:`CustomerPlan` it ever had, and :class:`StoreResidence` knows where the stores
really are.

Promised: what two parsers could read in two ways is refused; routes never overlap; whatever cannot be told is
``UNKNOWN`` and never a neighbour of what was asked for.
"""

from gateway.catalog.catalog import Catalog, Classified
from gateway.catalog.customers import CUSTOMER_ID, Customer, CustomerPlan, Customers
from gateway.catalog.residence import StoreResidence
from gateway.catalog.resource import Action, Resource, Scope
from gateway.catalog.routes import Route, RouteTable
from gateway.catalog.target import Target, canonical

__all__ = [
    "CUSTOMER_ID",
    "Action",
    "Catalog",
    "Classified",
    "Customer",
    "CustomerPlan",
    "Customers",
    "Resource",
    "Route",
    "RouteTable",
    "Scope",
    "StoreResidence",
    "Target",
    "canonical",
]
