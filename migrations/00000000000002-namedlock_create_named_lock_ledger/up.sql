-- The ledger of diesel-named-lock's singleton jobs: the last run of each job, and of each of its keys.
--
-- All times are UTC, by the server's clock. Names are kept as bytes, because names that differ are different locks, even if they
-- differ only in letter case (on MariaDB), accents or trailing blanks. To read them in a client that shows bytes as hexadecimal:
-- SELECT CONVERT(job USING utf8mb4), CONVERT(job_key USING utf8mb4), …
CREATE TABLE named_lock_ledger (
    job VARBINARY(192) NOT NULL COMMENT 'UTF-8: the name of the job and of its lock',
    job_key VARBINARY(255) NOT NULL COMMENT 'UTF-8: the key of the run; empty in the row for the last run of the job with any key',
    runs BIGINT UNSIGNED NOT NULL COMMENT 'number of runs that were started, this one included',
    started_at DATETIME(6) NOT NULL,
    counts_from DATETIME(6) NOT NULL COMMENT 'the start of the interval: started_at, or, if the clock was set back before that, the time when this was noticed',
    ended_at DATETIME(6) NULL COMMENT 'NULL while it runs; stays NULL if its process or its session was killed',
    error VARCHAR(1000) CHARACTER SET utf8mb4 NULL COMMENT 'NULL if it succeeded or has not ended',
    host VARCHAR(255) CHARACTER SET utf8mb4 NOT NULL,
    process_id INT UNSIGNED NOT NULL,
    connection_id BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (job, job_key)
) ENGINE = InnoDB;
