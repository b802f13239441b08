import sys

from backends.replica import spec_hash
from backends.simulated import SimulatorOptions, simulated
from backends.simulator.command import sim


def test_a_simulated_replica_runs_the_simulator_of_this_installation():
    spec = simulated("m", "org/m")
    assert spec.argv[:5] == (sys.executable, "-m", "backends.simulator", "--model", "org/m")
    assert (spec.launcher, spec.source, spec.gpus) == ("sim", "org/m", ())


def test_the_simulator_knows_every_option_that_it_is_given():
    options = SimulatorOptions(
        profile="llama-3.1-8b-fp8-1xh100",
        dialect="main",
        seed=7,
        time_scale=2.0,
        start_s=0.5,
        max_batch_size=8,
        faults=("cut:after_tokens=3", "slow_health"),
    )
    spec = simulated("m", "org/m", options)
    argv = [word.format(host="127.0.0.1", port=0) for word in spec.argv[3:]]
    read = sim.make_context("sim", argv).params
    assert read["profile"] == "llama-3.1-8b-fp8-1xh100"
    assert read["seed"] == 7
    assert spec.concurrency == 8


def test_two_simulated_replicas_differ_when_their_options_do():
    plain, seeded = simulated("m", "m"), simulated("m", "m", SimulatorOptions(seed=1))
    assert spec_hash(plain) == spec_hash(simulated("m", "m"))
    assert spec_hash(plain) != spec_hash(seeded)
    assert "--return-perf-metrics" not in simulated("m", "m", observe=False).argv
