"""Metering: the record of every request that is over becomes a row of the ledger."""
