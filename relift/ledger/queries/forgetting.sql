-- Questions solved before and failing now, taught or not, those that were surest first.
-- Group: did teaching work.
WITH seen AS (
    SELECT
        run, question_id,
        count(*) AS times_sampled,
        max(correct / rollouts) AS best_accuracy,
        max(iteration) FILTER (correct > 0) AS last_solved,
        max(iteration) AS last_sampled
    FROM plain_groups
    WHERE run GLOB coalesce(getvariable('run'), '*')
    GROUP BY run, question_id
    HAVING max(policy_version) FILTER (correct > 0) < max(policy_version)
        AND max_by(correct, (policy_version, iteration, purpose)) = 0
), taught AS (
    SELECT run, question_id, count(*) AS times_taught FROM uses GROUP BY run, question_id
)
SELECT
    s.run, s.question_id, q.split, best_accuracy, last_solved, last_sampled, times_sampled,
    coalesce(times_taught, 0) AS times_taught, q.source, q.answer AS gold, q.text
FROM seen s
LEFT JOIN taught USING (run, question_id)
LEFT JOIN questions q USING (run, question_id)
WHERE last_sampled >= coalesce(getvariable('since'), 0)
ORDER BY best_accuracy DESC, times_sampled DESC, s.run, s.question_id;
