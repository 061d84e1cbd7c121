-- From schema 4 to 5: iterations say how often questions were asked until enough groups had signal; uses how much of a
-- demonstration was given and not trained on; demonstrations of what kind they are; entries what came into the buffer;
-- and attempts have purposes of which nothing is counted.

-- Before, an iteration asked its batch once, and nothing was refilled.
CREATE VIEW new.iterations AS
SELECT *, 1 AS rounds, 0 AS lacking FROM old.iterations;

-- Before, teachers were asked for solutions alone.
CREATE VIEW new.demonstrations AS
SELECT *, 'solution' AS kind FROM old.demonstrations;

-- Before, no rule of relift gave the beginning of a demonstration, and one of one's own that did could not say whose.
CREATE VIEW new.uses AS
SELECT *, NULL::INTEGER AS prefix_tokens FROM old.uses;

-- Before, every hard question came into the buffer with its demonstration, each time that it was called hardest. Of these
-- entries, those that wait are all that is told.
CREATE VIEW new.entries AS
WITH delivered AS (
    SELECT run, question_id, max(iteration) AS iteration, max_by(demonstration_id, iteration) AS demonstration_id
    FROM old.demonstrations WHERE refusal IS NULL GROUP BY run, question_id
), hard AS (
    SELECT run, question_id, max(iteration) AS iteration
    FROM old.groups WHERE is_hardest GROUP BY run, question_id HAVING NOT bool_or(is_control)
), gone AS (
    SELECT run, question_id, max(iteration) AS iteration, bool_or(is_retired) AS is_retired
    FROM (
        SELECT run, question_id, iteration, false AS is_retired FROM old.uses
        UNION ALL
        SELECT run, question_id, iteration, reason = 'retired' FROM old.leavings
    )
    GROUP BY run, question_id
)
SELECT d.run, greatest(d.iteration, h.iteration) AS iteration, d.question_id, d.demonstration_id
FROM delivered d
JOIN hard h USING (run, question_id)
LEFT JOIN gone g USING (run, question_id)
WHERE g.is_retired IS NOT TRUE AND greatest(d.iteration, h.iteration) > coalesce(g.iteration, -1);
