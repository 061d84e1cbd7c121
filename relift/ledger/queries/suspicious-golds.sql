-- Questions whose gold answer may be wrong: most rollouts agree on another answer.
-- Group: can the data be trusted.
WITH votes AS (
    SELECT run, question_id, answer, count(*) AS agreeing
    FROM plain_attempts
    WHERE status = 'wrong'
      AND run GLOB coalesce(getvariable('run'), '*')
      AND iteration >= coalesce(getvariable('since'), 0)
    GROUP BY run, question_id, answer
    HAVING count(*) >= 5 AND answer IS NOT NULL
), sampled AS (
    SELECT run, question_id, sum(rollouts) AS rollouts, sum(correct) AS correct
    FROM plain_groups
    WHERE iteration >= coalesce(getvariable('since'), 0)
    GROUP BY run, question_id
)
SELECT
    v.run, v.question_id, q.answer AS gold, v.answer AS other, agreeing, rollouts, correct,
    agreeing / rollouts AS share, q.source, q.text
FROM votes v
JOIN sampled USING (run, question_id)
JOIN questions q USING (run, question_id)
WHERE 2 * agreeing > rollouts
ORDER BY agreeing DESC, share DESC, v.run, v.question_id;
