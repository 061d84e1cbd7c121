-- Two samplings of one policy (evaluation.confirm), as transitions: what of these is chance.
-- Group: did teaching work.
SELECT
    run, iteration, from_band,
    sum(questions) AS questions,
    coalesce(sum(share) FILTER (to_band = 'easy'), 0) AS easy,
    coalesce(sum(share) FILTER (to_band = 'medium'), 0) AS medium,
    coalesce(sum(share) FILTER (to_band = 'hard'), 0) AS hard,
    coalesce(sum(share) FILTER (to_band = 'hardest'), 0) AS hardest
FROM noise
WHERE run GLOB coalesce(getvariable('run'), '*')
  AND iteration >= coalesce(getvariable('since'), -1)
GROUP BY run, iteration, from_band
ORDER BY run, iteration, list_position(['easy', 'medium', 'hard', 'hardest'], from_band);
