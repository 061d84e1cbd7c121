-- Every evaluation, with its gain over the first one of the same benchmark in the run.
-- Group: runs.
SELECT
    run, benchmark, kind, iteration, version, questions, k, avg_at_k, low, high, pass_at_k,
    avg_at_k - first_value(avg_at_k) OVER (PARTITION BY run, benchmark ORDER BY version, iteration) AS gain,
    mean_tokens, truncated
FROM evaluations
WHERE run GLOB coalesce(getvariable('run'), '*')
ORDER BY run, benchmark, version, iteration;
