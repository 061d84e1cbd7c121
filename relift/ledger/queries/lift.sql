-- Did teaching work: taught questions against controls, 1, 5 and 20 iterations after, with intervals.
-- Group: did teaching work.
WITH of_runs AS (
    SELECT * FROM lift WHERE run GLOB coalesce(getvariable('run'), '*')
), parts AS (
    SELECT
        1 AS place, run, distance, 'taught' AS part, taught_questions AS questions, taught_before AS rate_before,
        taught_rate AS rate, taught_low AS low, taught_high AS high
    FROM of_runs
    UNION ALL
    SELECT
        2, run, distance, 'control', control_questions, control_before, control_rate, control_low, control_high
    FROM of_runs
    UNION ALL
    SELECT 3, run, distance, 'difference', NULL, NULL, lift, lift_low, lift_high FROM of_runs
)
SELECT * EXCLUDE (place)
FROM parts
ORDER BY run, distance, place;
