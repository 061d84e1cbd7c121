-- How many hard questions are in each state, by run.
-- Group: hard questions.
SELECT run, state, count(*) AS questions, avg(times_unsolved) AS mean_times_unsolved, sum(times_taught) AS times_taught
FROM hard_examples
WHERE run GLOB coalesce(getvariable('run'), '*')
GROUP BY run, state
ORDER BY run, questions DESC, state;
