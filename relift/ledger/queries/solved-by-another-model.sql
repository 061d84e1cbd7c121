-- Questions that every run of one base model fails and a run of another solves.
-- Group: runs.
WITH latest AS (
    SELECT run, question_id, max_by(correct / rollouts, (policy_version, iteration, purpose)) AS accuracy
    FROM plain_groups
    WHERE run GLOB coalesce(getvariable('run'), '*')
    GROUP BY run, question_id
), by_model AS (
    SELECT r.base_model, l.question_id, count(*) AS runs, max(l.accuracy) AS best, any_value(l.run) AS run
    FROM latest l JOIN runs r USING (run)
    GROUP BY r.base_model, l.question_id
)
SELECT
    f.base_model AS fails, s.base_model AS solves, s.best AS accuracy, f.runs AS failing_runs, f.question_id,
    q.source, q.answer AS gold, q.text
FROM by_model f
JOIN by_model s ON s.question_id = f.question_id AND s.base_model <> f.base_model
LEFT JOIN questions q ON q.run = f.run AND q.question_id = f.question_id
WHERE f.best = 0 AND s.best > 0
ORDER BY fails, solves, accuracy DESC, f.question_id;
