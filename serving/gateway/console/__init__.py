"""Pages on the private address: what the admin API tells and does, to be looked at."""
