-- Difficulty of the training questions over time: shares of the bands by ranges of ten iterations.
-- Group: hard questions.
SELECT
    run,
    iteration // 10 * 10 AS from_iteration,
    max(iteration) AS to_iteration,
    count(*) AS questions,
    count(*) FILTER (band = 'easy') / count(*) AS easy,
    count(*) FILTER (band = 'medium') / count(*) AS medium,
    count(*) FILTER (band = 'hard') / count(*) AS hard,
    count(*) FILTER (band = 'hardest') / count(*) AS hardest
FROM group_results
WHERE purpose = 'train'
  AND run GLOB coalesce(getvariable('run'), '*')
  AND iteration >= coalesce(getvariable('since'), 0)
GROUP BY run, from_iteration
ORDER BY run, from_iteration;
