"""Plans found natively by the operands' kinds."""

import mashal as torch
from mashal.core.tape import PlannedCall
from mashal.core.tensor import finder


def entry(plan):
    made = PlannedCall()
    made.plan = plan
    return made


def test_what_is_not_in_the_table_goes_the_other_way():
    find = finder({}, lambda *operands: ("unknown", operands))
    assert find(1, "two") == ("unknown", (1, "two"))


def test_tensors_are_known_by_their_form_and_numbers_by_their_type():
    x = torch.ones(2, 3)
    find = finder({(x.form, int): entry(lambda x, y: y)}, lambda *operands: None)
    assert find(torch.zeros(2, 3), 7) == 7
    assert find(torch.zeros(2, 3), 7.0) is None
    assert find(torch.zeros(3, 2), 7) is None


def test_one_operand_is_its_own_key():
    x = torch.ones(2)
    assert finder({x.form: entry(lambda x: "found")}, lambda x: None)(x) == "found"


def test_parameters_are_known_as_tensors_are_and_other_subclasses_are_not():
    class Own(torch.Tensor):
        pass

    x = torch.ones(2)
    find = finder({x.form: entry(lambda x: "found")}, lambda x: "unknown")
    assert find(torch.nn.Parameter(x)) == "found"
    assert find(x.as_subclass(Own)) == "unknown"


def test_an_entry_may_be_forgotten_while_its_plan_runs():
    x, table = torch.ones(2), {}

    def plan(x):
        table.clear()
        return "done"

    table[x.form] = entry(plan)
    del plan
    assert finder(table, lambda x: None)(x) == "done"
