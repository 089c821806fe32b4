-- The last fencing token that was issued, for each lock.
--
-- `name` is the lock's name in lower case, in UTF-8: 64 characters of at most 3 bytes. It is kept as bytes, because no collation
-- compares names as the servers do: trailing blanks count, and so do accents.
CREATE TABLE named_lock_fences (
    name VARBINARY(192) NOT NULL PRIMARY KEY,
    token BIGINT UNSIGNED NOT NULL
) ENGINE = InnoDB;
