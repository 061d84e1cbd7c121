-- Demonstrations that wait for a supervised update, longest first.
-- Group: hard questions.
WITH first_admitted AS (
    SELECT run, question_id, min(iteration) AS iteration
    FROM demonstrations WHERE refusal IS NULL GROUP BY run, question_id
), entered AS (
    SELECT run, question_id, iteration FROM demonstrations WHERE refusal IS NULL
    UNION ALL
    SELECT g.run, g.question_id, g.iteration
    FROM groups g JOIN first_admitted f ON f.run = g.run AND f.question_id = g.question_id AND f.iteration < g.iteration
    WHERE g.is_hardest
), now AS (
    SELECT run, max(iteration) AS iteration FROM plain_groups GROUP BY run
)
SELECT
    h.run, h.question_id, any_value(h.state) AS state,
    min(e.iteration) AS waits_since,
    any_value(n.iteration) - min(e.iteration) AS iterations_waited,
    any_value(h.times_unsolved) AS times_unsolved,
    any_value(h.times_taught) AS times_taught,
    any_value(h.source) AS source,
    any_value(h.text) AS text
FROM hard_examples h
JOIN now n USING (run)
JOIN entered e
    ON e.run = h.run AND e.question_id = h.question_id
    AND e.iteration > coalesce(greatest(h.last_taught, h.last_left), -1)
WHERE h.is_waiting
  AND h.run GLOB coalesce(getvariable('run'), '*')
GROUP BY h.run, h.question_id
ORDER BY iterations_waited DESC, h.run, h.question_id;
