-- The thousand verdicts that took longest, and by which path they were reached.
-- Group: can the data be trusted.
WITH slowest AS (
    SELECT run, iteration, purpose, question_id, sample, seconds, decided_by, status, reason, answer
    FROM attempts
    WHERE run GLOB coalesce(getvariable('run'), '*')
      AND iteration >= coalesce(getvariable('since'), 0)
    ORDER BY seconds DESC
    LIMIT 1000
)
SELECT s.*, q.answer AS gold
FROM slowest s
LEFT JOIN questions q USING (run, question_id)
ORDER BY seconds DESC, s.run, s.iteration, s.question_id, s.purpose, s.sample;
