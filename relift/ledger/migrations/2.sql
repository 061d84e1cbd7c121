-- From schema 1 to 2: updates say more of themselves (KL, the engine's correction, work and memory), and requests to
-- teachers what they may have cost. How these files are read is said in migrate.py.

-- Nothing of the sort was measured, and nothing of the sort was switched on: 0 is what schema 2 writes for that.
CREATE VIEW new.updates AS
SELECT
    *,
    0.0::DOUBLE AS kl,
    0.0::DOUBLE AS correction_mean,
    0.0::DOUBLE AS bounded_fraction,
    0.0::DOUBLE AS flops,
    NULL::DOUBLE AS mfu,
    0::BIGINT AS peak_memory_bytes
FROM old.updates;

-- The first files of schema 1 lack the columns named below, the later ones have them: the union by name makes both the
-- same. A request was sent once, and what came back was a whole answer.
CREATE VIEW new.teacher_requests AS
SELECT * REPLACE (
    coalesce(attempts, 1) AS attempts,
    coalesce(finish_reason, CASE WHEN answer IS NOT NULL THEN 'stop' END) AS finish_reason,
    coalesce(unanswered_usd, 0) AS unanswered_usd
)
FROM (
    FROM old.teacher_requests
    UNION ALL BY NAME
    SELECT
        NULL::INTEGER AS attempts, NULL::VARCHAR AS finish_reason, NULL::DOUBLE AS unanswered_usd,
        NULL::DOUBLE AS latency_seconds
    WHERE false
);
