import pytest

from relift.interleave.steps import shared_steps, step_mark, steps_of

WORKED = "40*6+7*6=240+42=282"
LINES = "Twice 3 is 6.\n\n  6 and 1 is 7.\n#### 7"


def test_a_step_is_a_line_or_what_stands_between_two_equals_signs():
    assert steps_of(WORKED, step_mark("equals")) == ("40*6+7*6=", "240+42=", "282")
    assert steps_of(LINES, step_mark("hashes")) == ("Twice 3 is 6.\n\n", "  6 and 1 is 7.\n", "#### 7")
    assert step_mark("boxed") == step_mark("flexible") == "\n"


@pytest.mark.parametrize("mark", ["=", "\n"])
@pytest.mark.parametrize(
    "text", ["", "=", "==7", "3==7= ", "7", "\n\n", "\n \n a\r\n \nb\n ", "a\n\n\nb", LINES, WORKED]
)
def test_the_steps_together_are_the_text_and_none_of_several_is_blank(text, mark):
    steps = steps_of(text, mark)
    assert "".join(steps) == text
    assert len(steps) < 2 or all(step.replace(mark, "").strip() for step in steps)


def test_the_right_beginning_ends_with_the_first_step_that_differs():
    assert shared_steps("40*6+7*6=240+41=281", WORKED, "=") == 1
    assert shared_steps("40*6+7*6=240+42=281", WORKED, "=") == 2
    assert shared_steps(WORKED, WORKED, "=") == 3
    assert shared_steps("40*6+7*6", WORKED, "=") == 0  # cut within the step: not the step
    assert shared_steps("", WORKED, "=") == 0
