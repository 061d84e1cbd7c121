-- The same question twice, but for blanks and case: under two ids, or with two gold answers.
-- Group: can the data be trusted.
WITH keyed AS (
    SELECT
        run, question_id, text, answer, split, source,
        hash(lower(replace(replace(text, ' ', ''), chr(10), ''))) AS key
    FROM questions
    WHERE run GLOB coalesce(getvariable('run'), '*')
), twice AS (
    SELECT key
    FROM keyed GROUP BY key
    HAVING min(question_id) <> max(question_id) OR min(answer) <> max(answer)
)
SELECT
    count(DISTINCT question_id) AS ids,
    min(answer) <> max(answer) AS other_gold,
    bool_or(split = 'train') AND bool_or(split IN ('held_out', 'benchmark')) AS train_and_held_out,
    string_agg(DISTINCT answer, ' | ' ORDER BY answer) AS golds,
    string_agg(DISTINCT split, ' | ' ORDER BY split) AS splits,
    string_agg(DISTINCT source, ' | ' ORDER BY source) AS sources,
    min(question_id) AS question_id,
    min(text) AS text
FROM keyed
JOIN twice USING (key)
GROUP BY key
ORDER BY train_and_held_out DESC, other_gold DESC, question_id;
