"""How quick a large ledger is: what is asked of it must not take longer as it grows."""
