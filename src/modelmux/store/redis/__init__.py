"""What gateways on several nodes keep on a server of Redis, or Valkey: leases of rate limits, remembered thinking."""
