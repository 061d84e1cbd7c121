-- How many hard questions are in each state, by run.
SELECT run, state, count(*) AS questions, avg(times_unsolved) AS mean_times_unsolved, sum(times_taught) AS times_taught
FROM hard_examples
GROUP BY run, state
ORDER BY run, state;
