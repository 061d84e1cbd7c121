-- What each teacher gave for its money: admitted, taught, learned, and learned per dollar.
-- Group: teachers and money.
SELECT
    source,
    count(*) AS runs,
    sum(offered) AS offered,
    sum(admitted) AS admitted,
    sum(taught) AS taught,
    sum(learned) AS learned,
    sum(regressed) AS regressed,
    sum(cost_usd) AS cost_usd,
    sum(learned) / nullif(sum(cost_usd), 0) AS learned_per_usd
FROM teacher_value
WHERE run GLOB coalesce(getvariable('run'), '*')
GROUP BY source
ORDER BY learned_per_usd DESC NULLS LAST, learned DESC, source;
