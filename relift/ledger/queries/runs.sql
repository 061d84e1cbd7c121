-- The runs there are: model, status, how far they came, and how many hard questions they met.
-- Group: runs.
WITH reached AS (
    SELECT run, max(iteration) + 1 AS iterations, max_by(accuracy, iteration) AS last_accuracy
    FROM iterations GROUP BY run
), hard AS (
    SELECT
        run, count(*) AS hard, count(*) FILTER (times_taught > 0) AS taught,
        count(*) FILTER (state = 'learned') AS learned
    FROM hard_examples GROUP BY run
)
SELECT
    r.run, r.base_model, r.status, iterations, last_accuracy,
    coalesce(hard, 0) AS hard, coalesce(taught, 0) AS taught, coalesce(learned, 0) AS learned,
    r.parent_run, r.created_at
FROM runs r
LEFT JOIN reached USING (run)
LEFT JOIN hard USING (run)
WHERE r.run GLOB coalesce(getvariable('run'), '*')
ORDER BY r.created_at, r.run;
