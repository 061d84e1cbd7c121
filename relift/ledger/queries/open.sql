-- Hard questions that nobody has a demonstration for, in no run: what a harvest asks teachers.
-- Group: hard questions.
SELECT
    question_id,
    min(text) AS text,
    min(gold) AS gold,
    min(source) AS source,
    count(*) AS runs,
    sum(times_unsolved) AS times_unsolved,
    max(last_sampled) AS last_sampled
FROM hard_examples
WHERE state IN ('open', 'sourcing', 'no_teacher_solves_it')
  AND run GLOB coalesce(getvariable('run'), '*')
  AND last_sampled >= coalesce(getvariable('since'), 0)
  AND question_id NOT IN (SELECT question_id FROM demonstrations WHERE refusal IS NULL AND kind = 'solution')
GROUP BY question_id
ORDER BY times_unsolved DESC, question_id;
