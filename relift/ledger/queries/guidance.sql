-- What was given of demonstrations: pass rates with it and without, by ranges of ten iterations.
-- Group: did teaching work.
WITH given AS (
    SELECT run, iteration, question_id, max(prefix_tokens) AS prefix_tokens
    FROM uses WHERE prefix_tokens IS NOT NULL GROUP BY run, iteration, question_id
)
SELECT
    g.run,
    g.iteration // 10 * 10 AS from_iteration,
    max(g.iteration) AS to_iteration,
    g.purpose,
    count(DISTINCT g.question_id) AS questions,
    count(*) AS groups,
    sum(g.rollouts) AS rollouts,
    sum(g.correct) / sum(g.rollouts) AS accuracy,
    count(*) FILTER (g.correct > 0) / count(*) AS solved,
    avg(u.prefix_tokens) AS mean_prefix_tokens
FROM groups g
LEFT JOIN given u
    ON g.purpose = 'guided' AND u.run = g.run AND u.iteration = g.iteration AND u.question_id = g.question_id
WHERE g.purpose IN ('guided', 'unguided', 'prefix_search', 'continuation', 'in_view')
  AND g.run GLOB coalesce(getvariable('run'), '*')
  AND g.iteration >= coalesce(getvariable('since'), 0)
GROUP BY g.run, from_iteration, g.purpose
ORDER BY g.run, from_iteration, g.purpose;
