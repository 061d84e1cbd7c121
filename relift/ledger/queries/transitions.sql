-- From which difficulty to which, first evaluation to last: shares of each row. Compare with noise.
-- Group: did teaching work.
WITH ends AS (
    SELECT run, min(iteration) AS first, max(iteration) AS last
    FROM groups
    WHERE purpose = 'evaluation'
      AND run GLOB coalesce(getvariable('run'), '*')
      AND iteration >= coalesce(getvariable('since'), 0)
    GROUP BY run
)
SELECT
    t.run, from_iteration AS "from", to_iteration AS "to", from_band,
    sum(questions) AS questions,
    coalesce(sum(share) FILTER (to_band = 'easy'), 0) AS easy,
    coalesce(sum(share) FILTER (to_band = 'medium'), 0) AS medium,
    coalesce(sum(share) FILTER (to_band = 'hard'), 0) AS hard,
    coalesce(sum(share) FILTER (to_band = 'hardest'), 0) AS hardest
FROM transitions t
JOIN ends e ON e.run = t.run AND e.first = t.from_iteration AND e.last = t.to_iteration
GROUP BY t.run, from_iteration, to_iteration, from_band
ORDER BY t.run, list_position(['easy', 'medium', 'hard', 'hardest'], from_band);
