-- Demonstrations by effect: the fall of their NLL in the update, and what became of the question.
-- Group: did teaching work.
SELECT
    u.run, u.iteration, u.demonstration_id, d.source, d.tokens,
    u.nll_before, u.nll_after, u.nll_before - u.nll_after AS fall,
    h.state, h.last_accuracy, u.question_id, d.text AS demonstration
FROM uses u
JOIN demonstrations d USING (run, demonstration_id)
LEFT JOIN hard_examples h ON h.run = u.run AND h.question_id = u.question_id
WHERE u.run GLOB coalesce(getvariable('run'), '*')
  AND u.iteration >= coalesce(getvariable('since'), -1)
ORDER BY fall DESC NULLS LAST, u.run, u.iteration, u.demonstration_id;
