-- Statuses of the training rollouts by ranges of ten iterations, as shares of the rollouts.
-- Group: can the data be trusted.
SELECT
    run,
    iteration // 10 * 10 AS from_iteration,
    max(iteration) AS to_iteration,
    count(*) AS rollouts,
    avg(CAST(status = 'correct' AS INTEGER)) AS correct,
    avg(CAST(status = 'wrong' AS INTEGER)) AS wrong,
    avg(CAST(status = 'no_answer' AS INTEGER)) AS no_answer,
    avg(CAST(status = 'malformed' AS INTEGER)) AS malformed,
    avg(CAST(status = 'truncated' AS INTEGER)) AS truncated,
    avg(CAST(status = 'timeout' AS INTEGER)) AS timeout,
    avg(CAST(status = 'error' AS INTEGER)) AS error,
    avg(CAST(status = 'bad_gold' AS INTEGER)) AS bad_gold
FROM attempts
WHERE purpose = 'train'
  AND run GLOB coalesce(getvariable('run'), '*')
  AND iteration >= coalesce(getvariable('since'), 0)
GROUP BY run, from_iteration
ORDER BY run, from_iteration;
