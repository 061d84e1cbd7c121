-- Demonstrations that wait for a supervised update, longest first.
-- Group: hard questions.
WITH now AS (
    SELECT run, max(iteration) AS iteration FROM plain_groups GROUP BY run
)
SELECT
    h.run, h.question_id, h.state, h.waits_since,
    n.iteration - h.waits_since AS iterations_waited,
    h.times_unsolved, h.times_taught, h.source, h.text
FROM hard_examples h
JOIN now n USING (run)
WHERE h.is_waiting
  AND h.run GLOB coalesce(getvariable('run'), '*')
ORDER BY iterations_waited DESC, h.run, h.question_id;
