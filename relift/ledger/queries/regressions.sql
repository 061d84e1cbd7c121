-- Taught and solved since, but not by the latest rollouts; --since says from which iteration on.
-- Group: did teaching work.
SELECT
    h.run, h.question_id,
    max(g.iteration) FILTER (g.correct > 0) AS last_solved,
    any_value(h.last_sampled) AS last_sampled,
    any_value(h.times_taught) AS times_taught,
    any_value(h.last_taught) AS last_taught,
    any_value(h.solved_since_taught) AS solved_since_taught,
    any_value(h.is_waiting) AS is_waiting,
    any_value(h.source) AS source,
    any_value(h.gold) AS gold,
    any_value(h.text) AS text
FROM hard_examples h
JOIN plain_groups g USING (run, question_id)
WHERE h.state = 'regressed'
  AND h.run GLOB coalesce(getvariable('run'), '*')
  AND h.last_sampled >= coalesce(getvariable('since'), 0)
GROUP BY h.run, h.question_id
ORDER BY last_sampled DESC, h.run, h.question_id;
