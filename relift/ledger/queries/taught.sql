-- What was taught and what became of it: state now, and the NLL of the demonstration before and after.
-- Group: did teaching work.
SELECT
    run, question_id, state, times_taught, last_taught, last_sampled, last_accuracy,
    sampled_since_taught, solved_since_taught, nll_before, nll_after, source, gold, text
FROM hard_examples
WHERE times_taught > 0
  AND run GLOB coalesce(getvariable('run'), '*')
  AND last_taught >= coalesce(getvariable('since'), -1)
ORDER BY run, last_taught, question_id;
