-- Did teaching work: taught questions against like controls, 1, 5 and 20 iterations after.
-- Group: did teaching work.
WITH of_runs AS (
    SELECT * FROM lift WHERE run GLOB coalesce(getvariable('run'), '*')
), parts AS (
    SELECT
        1 AS part_order, run, distance, 'taught' AS part, taught_questions AS questions, taught_before AS rate_before,
        taught_rate AS rate, taught_low AS low, taught_high AS high
    FROM of_runs
    UNION ALL
    SELECT
        2, run, distance, 'control', control_questions, control_before, control_rate, control_low, control_high
    FROM of_runs
    UNION ALL
    SELECT
        3, run, distance, CASE WHEN lift IS NULL THEN 'difference: not defined' ELSE 'difference' END, taught_questions + control_questions, NULL, lift, lift_low, lift_high
    FROM of_runs
    UNION ALL
    SELECT 4, run, distance, 'left out', left_out, NULL, NULL, NULL, NULL FROM of_runs WHERE left_out > 0
)
SELECT * EXCLUDE (part_order)
FROM parts
ORDER BY run, distance, part_order;
