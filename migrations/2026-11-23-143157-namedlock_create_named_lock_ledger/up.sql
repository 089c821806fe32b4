-- The ledger of diesel-named-lock's singleton jobs: the last run of each job, and of each of its keys.
--
-- All times are UTC, by the server's clock. Names are kept as bytes, because two names are two locks if they differ at all:
-- in letter case (on MariaDB), in accents, in trailing blanks. To read them in a client that shows bytes as hexadecimal:
-- SELECT CONVERT(job USING utf8mb4), CONVERT(job_key USING utf8mb4), …
CREATE TABLE named_lock_ledger (
    job VARBINARY(192) NOT NULL COMMENT 'UTF-8: the name of the job, which is that of its lock',
    job_key VARBINARY(255) NOT NULL COMMENT 'UTF-8: what the run was for; empty for the last run of the job, whatever it was for',
    runs BIGINT UNSIGNED NOT NULL COMMENT 'so many were begun, this one included',
    started_at DATETIME(6) NOT NULL,
    counts_from DATETIME(6) NOT NULL COMMENT 'the start, or when the clock was seen to be set back behind it: then, the interval counts from here',
    ended_at DATETIME(6) NULL COMMENT 'NULL while it runs, and for ever if its process or its session was killed',
    error VARCHAR(1000) CHARACTER SET utf8mb4 NULL COMMENT 'NULL where it succeeded, or has not ended',
    host VARCHAR(255) CHARACTER SET utf8mb4 NOT NULL,
    process_id INT UNSIGNED NOT NULL,
    connection_id BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (job, job_key)
) ENGINE = InnoDB;
