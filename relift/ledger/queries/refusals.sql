-- Why demonstrations were refused, by source: how often, and one of them.
-- Group: teachers and money.
SELECT
    source,
    split_part(refusal, ':', 1) AS kind,
    count(*) AS demonstrations,
    count(DISTINCT question_id) AS questions,
    sum(cost_usd) AS cost_usd,
    min(refusal) AS for_example
FROM demonstrations
WHERE refusal IS NOT NULL
  AND run GLOB coalesce(getvariable('run'), '*')
  AND iteration >= coalesce(getvariable('since'), -1)
GROUP BY ALL
ORDER BY demonstrations DESC, source, kind;
