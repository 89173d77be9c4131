"""Small real servers that tasks meet through the egress broker."""

from ._base import Account, Call, Service, ServiceContext, answer, route

__all__ = ["Account", "Call", "Service", "ServiceContext", "answer", "route"]
