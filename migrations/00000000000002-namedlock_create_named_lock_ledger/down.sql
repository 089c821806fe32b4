DROP TABLE named_lock_ledger;
