-- What it cost by ten iterations, a warm start as -1: tokens, minutes, dollars, for controls apart.
-- Group: teachers and money.
WITH parts AS (
    SELECT
        run, iteration, tokens AS sampled_tokens, 0 AS trained_tokens, 0 AS flops, 0 AS taught, 0 AS usd, 0 AS control_usd,
        list_sum(map_values(seconds)) / 60 AS minutes
    FROM iterations
    UNION ALL
    SELECT run, iteration, 0, tokens, flops, 0, 0, 0, CASE WHEN iteration < 0 THEN seconds / 60 ELSE 0 END FROM updates
    UNION ALL
    SELECT run, iteration, 0, 0, 0, count(DISTINCT demonstration_id), 0, 0, 0
    FROM uses WHERE prefix_tokens IS NULL GROUP BY run, iteration
    UNION ALL
    SELECT run, iteration, 0, 0, 0, 0, cost_usd, CASE WHEN c.question_id IS NULL THEN 0 ELSE cost_usd END, 0
    FROM demonstrations LEFT JOIN controls c USING (run, question_id)
)
SELECT
    run,
    CASE WHEN iteration < 0 THEN -1 ELSE iteration // 10 * 10 END AS from_iteration,
    max(iteration) AS to_iteration,
    sum(minutes) AS minutes,
    sum(sampled_tokens) AS sampled_tokens,
    sum(trained_tokens) AS trained_tokens,
    sum(flops) AS flops,
    sum(taught) AS taught,
    sum(usd) AS usd,
    sum(control_usd) AS control_usd
FROM parts
WHERE run GLOB coalesce(getvariable('run'), '*')
  AND iteration >= coalesce(getvariable('since'), -1)
GROUP BY run, from_iteration
ORDER BY run, from_iteration;
