"""A simulation of many nodes that lease budgets from one database. Only the database and the requests are a model."""
