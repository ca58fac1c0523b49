"""The demo: a sample world in which the real gateway serves real requests.

A sample identity provider signs for sample people; sample stores hold made-up data; sample location databases know a
handful of networks; the :mod:`~gateway.demo.tour` walks through every rule of the contract.

Promised: nothing in it is real, and everything in it says so; it listens on loopback only.
"""
