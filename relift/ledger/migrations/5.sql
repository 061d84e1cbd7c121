-- From schema 4 to 5: iterations say how many groups had signal, and how often questions were asked until enough had.

-- Before, an iteration asked its batch once, and nothing was refilled.
CREATE VIEW new.iterations AS
WITH groups_with_signal AS (
    SELECT run, iteration, question_id FROM old.attempts
    WHERE purpose = 'train' GROUP BY run, iteration, question_id HAVING count(DISTINCT reward) > 1
), counted AS (
    SELECT run, iteration, count(*)::INTEGER AS signal FROM groups_with_signal GROUP BY run, iteration
)
SELECT i.*, coalesce(c.signal, 0) AS signal, 1 AS rounds, 0 AS lacking
FROM old.iterations i LEFT JOIN counted c USING (run, iteration)
ORDER BY i.run, i.iteration;
