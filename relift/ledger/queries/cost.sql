-- What it cost by ranges of ten iterations: tokens, minutes, dollars, those for controls apart.
-- Group: teachers and money.
WITH controls AS (
    SELECT DISTINCT run, question_id FROM groups WHERE is_control
), parts AS (
    SELECT
        run, iteration, tokens AS sampled_tokens, 0 AS trained_tokens, 0 AS flops, taught, 0 AS usd, 0 AS control_usd,
        list_sum(map_values(seconds)) / 60 AS minutes
    FROM iterations
    UNION ALL
    SELECT run, iteration, 0, tokens, flops, 0, 0, 0, 0 FROM updates
    UNION ALL
    SELECT run, iteration, 0, 0, 0, 0, cost_usd, CASE WHEN c.question_id IS NULL THEN 0 ELSE cost_usd END, 0
    FROM demonstrations LEFT JOIN controls c USING (run, question_id)
)
SELECT
    run,
    iteration // 10 * 10 AS from_iteration,
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
  AND iteration >= coalesce(getvariable('since'), 0)
GROUP BY run, from_iteration
ORDER BY run, from_iteration;
