import json
from dataclasses import fields

import pytest

from backends.simulated import SimulatorOptions
from gateway.config.loading import build
from gateway.config.settings import (
    admin_port_hosts,
    data_port_hosts,
    fleet_settings,
    masked,
)
from gateway.config.sources import parse_yaml
from gateway.core.snapshot import Ejection, Limits, Retries, Timeouts
from gateway.fleet.settings import ModelSettings


def config(text=""):
    return build(parse_yaml(text, "f"))


def model(text):
    return fleet_settings(config(f"models: [{text}]")).models[0]


def test_a_model_that_says_nothing_gets_the_stages_own_defaults():
    assert model("{name: a}") == ModelSettings(name="a", source="a")


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("timeouts", Timeouts),
        ("limits", Limits),
        ("retry", Retries),
        ("eject", Ejection),
        ("sim", SimulatorOptions),
    ],
)
def test_the_files_defaults_are_the_stages_defaults(key, settings):
    section = getattr(config().defaults, key)
    for field in fields(settings):
        said = getattr(section, field.name)
        meant = None if said == "auto" else said
        assert meant == getattr(settings(), field.name), field.name


def test_what_is_said_reaches_the_fleet():
    settings = model(
        "{name: a, aliases: [b], source: org/checkpoint, precision: fp8, launcher: sim,"
        " replicas: {min: 1, max: 3, initial: 2}, timeouts: {queue_s: 7}, limits: {n: 2},"
        " retry: {attempts: 3}, eject: {base_s: 2}, overrides: {max_batch_size: 8},"
        " resume: text, sim: {profile: p, seed: 5, faults: ['hang:share=0.1']}}"
    )
    assert settings == ModelSettings(
        name="a", aliases=("b",), source="org/checkpoint",
        static_source="org/checkpoint", precision="fp8", launcher="sim",
        min=1, max=3, initial=2, timeouts=Timeouts(queue_s=7), limits=Limits(n=2),
        retries=Retries(attempts=3), ejection=Ejection(base_s=2), resume=True,
        overrides={"max_batch_size": 8},
        sim=SimulatorOptions(profile="p", seed=5, faults=("hang:share=0.1",)),
    )  # fmt: skip


def test_a_model_with_static_replicas_starts_none_of_its_own_unless_it_says_so():
    static = "static: ['http://r:1/']"
    assert (
        model(f"{{name: a, {static}}}").initial,
        model(f"{{name: a, {static}}}").static,
    ) == (
        0,
        ("http://r:1",),
    )
    assert model(f"{{name: a, {static}, replicas: {{initial: 2}}}}").initial == 2
    defaults = f"defaults: {{replicas: {{min: 1}}}}\nmodels: [{{name: a, {static}}}]"
    assert fleet_settings(config(defaults)).models[0].initial == 0


def test_discovered_replicas_reach_the_fleet():
    assert fleet_settings(config("static: ['http://r:1']")).discover == ("http://r:1",)


def test_hosts_are_checked_only_where_nothing_else_is_asked_for(tmp_path):
    (tmp_path / "a").write_text("sk-0123456789abcdefghij")
    keys = f"auth: {{keys: [{{name: a, key_file: {tmp_path}/a}}]}}"
    assert data_port_hosts(config()) == ("localhost", "127.0.0.1", "::1")
    assert data_port_hosts(config(keys)) is None
    assert "127.0.0.5" in admin_port_hosts(config("admin: {host: 127.0.0.5}"))
    assert admin_port_hosts(config("admin: {auth: tokens}")) is None


def test_the_shown_configuration_has_no_password():
    shown = masked(
        config(
            "state: {redis_url: 'rediss://user:canary@redis.example:6379/0'}\n"
            "telemetry: {otlp_endpoint: 'http://user:canary@c:4318'}\n"
            "defaults: {launcher: sim}\nmodels: [{name: a}]\n"
        )
    )
    assert "canary" not in json.dumps(shown)
    assert shown["state"]["redis_url"] == "rediss://***@redis.example:6379/0"
    assert shown["models"][0]["launcher"] == "sim"
    assert shown["models"][0]["slo"][0]["class"] == "default"


@pytest.mark.parametrize(
    ("cores", "workers", "count"),
    [(8, "auto", 8), (0, "auto", 1), (500, "auto", 32), (8, 3, 3)],
)
def test_auto_means_one_worker_per_core(cores, workers, count):
    assert config(f"server: {{workers: {workers}}}").server.worker_count(cores) == count


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("state: {redis_url: 'http://r'}", "redis:// or rediss:// or unix://"),
        ("state: {redis_url: 'redis://[::1'}", "is not a URL"),
        ("telemetry: {otlp_endpoint: 'http://'}", "http:// or https://"),
    ],
)
def test_urls_of_other_services_are_checked(text, said):
    with pytest.raises(Exception, match=said):
        config(text)
