"""What the stores on PostgreSQL have in common: connections, transactions, migrations, and what errors mean."""
