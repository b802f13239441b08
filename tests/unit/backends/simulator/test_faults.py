"""Faults are read strictly and drawn reproducibly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.simulator.faults import (
    KINDS,
    Fault,
    FaultPlan,
    Scope,
    UnknownFault,
    make_fault,
    parse_fault,
)


def test_the_command_lines_form_is_read():
    fault = parse_fault("cut:after_tokens=5, share=0.25,at_byte=100,s=1.5,code=503,seed=9")
    assert fault == Fault("cut", 0.25, 5, 100, 1.5, 503, 9)
    assert parse_fault("hang") == Fault("hang")
    assert fault.scope is Scope.STREAM


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bang", "unknown fault 'bang'; known: abort_on_exit, "),
        ("cut:tokens=1", "unknown key 'tokens'; known: after_tokens, at_byte"),
        ("cut:after_tokens", "expected key=value, got 'after_tokens'"),
        ("cut:after_tokens=x", "fault cut: "),
        ("cut:share=1.5", "share must be 0 to 1, got 1.5"),
        ("", "unknown fault ''"),
    ],
)
def test_what_is_wrong_is_said(text, words):
    with pytest.raises(UnknownFault) as wrong:
        parse_fault(text)
    assert words in str(wrong.value)


@given(st.sampled_from(sorted(KINDS)), st.floats(0, 1), st.integers(0, 100))
def test_every_kind_reads_the_same_from_text_and_json(kind, share, after):
    fields = {"kind": kind, "share": share, "after_tokens": after}
    text = f"{kind}:share={share!r},after_tokens={after}"
    assert parse_fault(text) == make_fault(fields)


@given(st.floats(0.05, 0.95), st.integers(0, 1000))
def test_draws_repeat_after_the_faults_are_armed_again(share, seed):
    plan = FaultPlan([Fault("cut", share=share)], seed=seed)
    first = [plan.for_request() for _ in range(30)]
    plan.replace(plan.faults)
    assert [plan.for_request() for _ in range(30)] == first


def test_a_seed_of_its_own_keeps_a_fault_from_the_others_draws():
    own = Fault("eof", share=0.5, seed=4)
    alone = FaultPlan([own], seed=0)
    beside = FaultPlan([own, Fault("cut", share=0.5)], seed=1)
    for _ in range(50):
        assert (alone.for_request() == own) is (beside.for_request() == own)


def test_share_0_never_and_share_1_always():
    plan = FaultPlan([Fault("eof", share=0), Fault("cut")], seed=0)
    assert {plan.for_request() for _ in range(20)} == {Fault("cut")}


def test_requests_do_not_meet_the_faults_of_probes():
    plan = FaultPlan([Fault("slow_health")], seed=0)
    assert plan.for_request() is None
    assert plan.of_kind("slow_health") == Fault("slow_health")
    assert plan.of_kind("wrong_model") is None
