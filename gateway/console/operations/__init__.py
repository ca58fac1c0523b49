"""The table: everything that can be called. Routes, permissions, the record and the document follow from it."""

from gateway.console.operation import Operation
from gateway.console.operations import access, authorizations, customers, passes, people, tickets, uploads

OPERATIONS: tuple[Operation, ...] = (
    *people.OPERATIONS,
    *customers.OPERATIONS,
    *tickets.OPERATIONS,
    *access.OPERATIONS,
    *authorizations.OPERATIONS,
    *uploads.OPERATIONS,
    *passes.OPERATIONS,
)

__all__ = ["OPERATIONS"]
