from gateway.core.steps import finish


def three_steps():
    yield
    yield
    return "done"


def test_steps_taken_at_once_give_their_result():
    assert finish(three_steps()) == "done"
