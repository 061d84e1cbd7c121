-- Cut off rather than failed: unsolved groups of which at least half hit the length limit.
-- Group: can the data be trusted.
WITH cut AS (
    SELECT run, question_id, iteration, purpose, count(*) AS truncated
    FROM plain_attempts
    WHERE status = 'truncated'
      AND run GLOB coalesce(getvariable('run'), '*')
      AND iteration >= coalesce(getvariable('since'), 0)
    GROUP BY run, question_id, iteration, purpose
)
SELECT
    c.run, c.question_id,
    count(*) AS groups,
    sum(c.truncated) AS truncated,
    sum(g.rollouts) AS rollouts,
    sum(g.tokens) / sum(g.rollouts) AS mean_tokens,
    max(c.iteration) AS last_sampled,
    coalesce(bool_or(g.is_hardest), false) AS called_hardest,
    any_value(q.source) AS source,
    any_value(q.text) AS text
FROM cut c
JOIN groups g USING (run, question_id, iteration, purpose)
LEFT JOIN questions q ON q.run = c.run AND q.question_id = c.question_id
WHERE g.correct = 0 AND 2 * c.truncated >= g.rollouts
GROUP BY c.run, c.question_id
ORDER BY truncated DESC, c.run, c.question_id;
