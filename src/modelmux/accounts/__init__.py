"""Pure decisions about who may spend what: the cost of a request, its row in the ledger, and reports of many.

Money is int64 nano-USD (10^-9), never a float; instants are microseconds in UTC.
"""
