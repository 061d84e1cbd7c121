-- Where the hard questions come from: by dataset or family, how many were hard and how they stand.
-- Group: hard questions.
WITH sampled AS (
    SELECT q.run, q.source, count(DISTINCT g.question_id) AS sampled
    FROM groups g JOIN questions q USING (run, question_id)
    WHERE g.purpose = 'train' GROUP BY q.run, q.source
)
SELECT
    run, source, any_value(s.sampled) AS sampled,
    count(*) AS hard,
    count(*) / any_value(s.sampled) AS hard_share,
    count(*) FILTER (last_accuracy = 0) AS unsolved,
    count(*) FILTER (times_taught > 0) AS taught,
    count(*) FILTER (state = 'learned') AS learned
FROM hard_examples
JOIN sampled s USING (run, source)
WHERE run GLOB coalesce(getvariable('run'), '*')
GROUP BY run, source
ORDER BY run, hard_share DESC, source;
