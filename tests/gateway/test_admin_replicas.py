import json

import pytest

from backends.launcher import LogLine
from gateway.core.drift import Figures
from gateway.fleet.drifting import Drift
from gateway.fleet.errors import FleetError
from tests.fakes.fleet import FakeFleet, replica
from tests.gateway.admin_client import admin, events, problem

MODEL = {"model": "llama-3.3-70b"}


@pytest.fixture
def fleet():
    return FakeFleet(replica("r-1"), replica("s-1", launcher="static"))


@pytest.fixture
def client(fleet):
    with admin(fleet) as client:
        yield client


def test_the_list_shows_every_replica_newest_last(client):
    items = client.get("/admin/replicas").json()["items"]
    assert [item["id"] for item in items] == ["r-1", "s-1"]
    assert items[0] == {
        "id": "r-1", "model": "llama-3.3-70b", "state": "ready",
        "url": "http://127.0.0.1:18000", "launcher": "sim", "in_flight": 3,
        "created_at": 1000.0, "desired": "run", "reason": "",
        "source": "nvidia/llama-3.3-70b", "dialect": "1.2", "concurrency": 64, "gpus": [],
        "attempt": 0,
    }  # fmt: skip


def test_one_replica_is_shown_with_plan_and_history(client):
    shown = client.get("/admin/replicas/r-1").json()
    assert shown["plan"] == {"recipe": "simulated"}
    assert shown["command"][0] == "python"
    assert shown["handle"] == {"pid": 4242}
    assert shown["history"] == [{"at": 1000.0, "state": "pending", "reason": "asked for"}]
    assert shown["drift"] == {
        "drifts": False, "rounds": 0, "agreement": None, "logprob_difference": None,
        "compared_at": None, "why_not": "",
    }  # fmt: skip


def test_a_replica_whose_answers_drift_is_shown_with_the_figures(client, fleet):
    fleet.drifts["r-1"] = Drift(3, Figures(0.25, 0.75), compared_at=5.0, why_not="busy")
    assert client.get("/admin/replicas/r-1").json()["drift"] == {
        "drifts": True, "rounds": 3, "agreement": 0.25, "logprob_difference": 0.75,
        "compared_at": 5.0, "why_not": "busy",
    }  # fmt: skip


def test_a_replicas_environment_is_never_shown(client):
    shown = client.get("/admin/replicas/r-1").text + client.get("/admin/replicas").text
    dry = client.post("/admin/replicas?dry_run=true", json=MODEL)
    assert "canary-secret" not in shown + dry.text


def test_creating_answers_202_with_the_operation_and_its_place(client, fleet):
    body = {**MODEL, "launcher": "sim", "gpus": ["GPU-1"], "overrides": {"max_batch_size": 8}}
    answer = client.post("/admin/replicas", json=body)
    assert answer.status_code == 202
    operation = answer.json()
    assert answer.headers["location"] == f"/admin/operations/{operation['id']}"
    assert (operation["kind"], operation["state"], operation["progress"]) == (
        "create",
        "running",
        0.0,
    )
    assert set(operation) >= {"step", "eta_s", "error", "replica_id", "created_at"}
    ((_, request),) = fleet.calls
    assert (request.launcher, request.gpus) == ("sim", ("GPU-1",))
    assert request.overrides == {"max_batch_size": 8}


def test_the_same_key_starts_nothing_new(client, fleet):
    key = {"Idempotency-Key": "abc"}
    first = client.post("/admin/replicas", json=MODEL, headers=key).json()
    assert client.post("/admin/replicas", json=MODEL, headers=key).json() == first
    assert len(fleet.calls) == 1
    other = {**MODEL, "precision": "fp8"}
    body = problem(client.post("/admin/replicas", json=other, headers=key), 422)
    assert body["type"].endswith("idempotency-conflict")
    assert body["errors"][0]["field"] == "Idempotency-Key"


@pytest.mark.parametrize("key", ["x" * 256, "with space", "ü", ""])
def test_a_key_that_cannot_be_kept_is_refused(client, key):
    headers = {"Idempotency-Key": key.encode()}
    body = problem(client.post("/admin/replicas", json=MODEL, headers=headers), 400)
    assert body["errors"][0]["field"] == "Idempotency-Key"


def test_a_dry_run_shows_what_would_start_and_starts_nothing(client, fleet):
    answer = client.post("/admin/replicas?dry_run=true", json=MODEL)
    assert answer.status_code == 200
    assert answer.json()["argv"] == ["python", "-m", "backends.simulator"]
    assert fleet.calls == []


@pytest.mark.parametrize(
    ("body", "status", "slug", "field"),
    [
        ({"model": "nope"}, 404, "unknown-model", "model"),
        ({**MODEL, "launcher": "nope"}, 422, "unknown-launcher", "launcher"),
        ({**MODEL, "precision": "nvfp4"}, 422, "plan-refused", None),
        ({**MODEL, "precision": "fp7"}, 400, "bad-request", "precision"),
        ({**MODEL, "gpus": 0}, 400, "bad-request", "gpus"),
        ({**MODEL, "gpus": []}, 400, "bad-request", "gpus"),
        ({**MODEL, "gpus": 1e300}, 400, "bad-request", "gpus"),
        ({**MODEL, "overrides": 5}, 400, "bad-request", "overrides"),
        ({"model": ""}, 400, "bad-request", "model"),
        ({"model": 5}, 400, "bad-request", "model"),
        ({"model": None}, 400, "bad-request", "model"),
        ({}, 400, "bad-request", "body"),
        ({**MODEL, "modle": 1}, 400, "bad-request", "body"),
        ([], 400, "bad-request", "body"),
        (None, 400, "bad-request", "body"),
    ],
)
def test_a_wrong_body_is_a_problem_that_names_the_field(
    client, fleet, body, status, slug, field
):
    answer = client.post("/admin/replicas", content=json.dumps(body))
    found = problem(answer, status)
    assert found["type"] == f"urn:trtgw:problem:{slug}"
    assert [error["field"] for error in found.get("errors", [])] == ([field] if field else [])
    assert fleet.calls == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is required: send a JSON object"),
        (b"{", "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b'{"model": "\xff"}', "the body is not JSON"),
        (b'{"overrides": ' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_json_is_a_400(client, content, said):
    assert said in problem(client.post("/admin/replicas", content=content), 400)["detail"]


def test_a_body_over_a_megabyte_is_a_413(client):
    problem(client.post("/admin/replicas", content=b" " * 2_000_000), 413)


def test_a_refused_plan_says_why_and_what_would_work(client):
    found = problem(client.post("/admin/replicas", json={**MODEL, "precision": "nvfp4"}), 422)
    assert found["detail"] == "no NVFP4 here"
    assert (found["code"], found["nearest"]) == ("bad_precision", "fp8 fits on 2")


def test_a_full_model_is_a_409(client, fleet):
    fleet.statuses["llama-3.3-70b"] = fleet.models()[0].__class__(
        **{**{f: getattr(fleet.models()[0], f) for f in fleet.models()[0].__slots__}, "max": 1}
    )
    found = problem(client.post("/admin/replicas", json=MODEL), 409)
    assert found["type"].endswith("replica-limit")


@pytest.mark.parametrize(
    ("method", "path", "call"),
    [
        ("POST", "/admin/replicas/r-1/drain", ("drain", "r-1", None)),
        ("POST", "/admin/replicas/r-1/drain?grace_s=2.5", ("drain", "r-1", 2.5)),
        ("POST", "/admin/replicas/r-1/restart?grace_s=0", ("restart", "r-1", 0)),
        ("DELETE", "/admin/replicas/r-1?grace_s=7", ("delete", "r-1", 7)),
        ("DELETE", "/admin/replicas/register/s-1", ("unregister", "s-1")),
    ],
)
def test_acts_on_a_replica_are_operations(client, fleet, method, path, call):
    answer = client.request(method, path)
    assert answer.status_code == 202
    assert answer.headers["location"] == "/admin/operations/op-1"
    assert fleet.calls == [call]


@pytest.mark.parametrize("grace_s", ["-1", "x", "1e9", "nan", ""])
def test_a_grace_that_is_no_duration_is_a_400(client, fleet, grace_s):
    answer = client.post(f"/admin/replicas/r-1/drain?grace_s={grace_s}")
    assert problem(answer, 400)["errors"][0]["field"] == "grace_s"
    assert fleet.calls == []


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/admin/replicas/none", 404, "unknown-replica"),
        ("DELETE", "/admin/replicas/none", 404, "unknown-replica"),
        ("POST", "/admin/replicas/none/drain", 404, "unknown-replica"),
        ("POST", "/admin/replicas/none/restart", 404, "unknown-replica"),
        ("GET", "/admin/replicas/none/logs", 404, "unknown-replica"),
        ("GET", "/admin/replicas/none/logs?follow=true", 404, "unknown-replica"),
        ("DELETE", "/admin/replicas/register/none", 404, "unknown-replica"),
        ("POST", "/admin/replicas/s-1/restart", 409, "not-possible-now"),
        ("GET", "/admin/replicas/s-1/logs", 409, "not-possible-now"),
        ("DELETE", "/admin/replicas/register/r-1", 409, "not-possible-now"),
        ("GET", "/admin/replicas/r-1/logs?tail=-1", 400, "bad-request"),
        ("GET", "/admin/replicas/r-1/logs?tail=99999", 400, "bad-request"),
        ("GET", "/admin/replicas/r-1/logs?follow=maybe", 400, "bad-request"),
        ("PUT", "/admin/replicas", 405, "method-not-allowed"),
        ("GET", "/admin/nothing", 404, "not-found"),
    ],
)
def test_what_cannot_be_done_is_a_problem(client, fleet, method, path, status, slug):
    found = problem(client.request(method, path), status)
    assert found["type"] == f"urn:trtgw:problem:{slug}"
    assert fleet.calls == []


def test_registering_adopts_a_running_replica(client, fleet):
    answer = client.post("/admin/replicas/register", json={"url": "http://10.0.0.5:8000"})
    assert answer.status_code == 202
    assert fleet.calls == [("register", "http://10.0.0.5:8000", None)]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"url": "https://10.0.0.5:8000"}, 422, "url"),
        ({"url": "http://10.0.0.5:8000", "model": "nope"}, 404, "model"),
        ({"url": 5}, 400, "url"),
        ({}, 400, "body"),
    ],
)
def test_what_cannot_be_registered_is_a_problem(client, body, status, field):
    found = problem(client.post("/admin/replicas/register", json=body), status)
    assert [error["field"] for error in found["errors"]] == [field]


def test_logs_are_a_list_of_lines(client, fleet):
    fleet.log_lines = [LogLine(1.0, "stdout", f"line {n}") for n in range(5)]
    items = client.get("/admin/replicas/r-1/logs?tail=2").json()["items"]
    assert items == [
        {"at": 1.0, "stream": "stdout", "line": "line 3"},
        {"at": 1.0, "stream": "stdout", "line": "line 4"},
    ]


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (FleetError("the log is gone"), "the log is gone"),
        (OSError("disk: canary-secret"), "the gateway failed; see its log"),
    ],
)
def test_a_followed_log_that_breaks_ends_in_an_error_event(client, fleet, failure, said):
    fleet.log_lines = [LogLine(1.0, "stdout", "first"), failure]
    found = events(client.get("/admin/replicas/r-1/logs?follow=true"))
    assert found == [
        (None, {"at": 1.0, "stream": "stdout", "line": "first"}),
        ("error", {"detail": said}),
    ]
    assert fleet.logs_closed == 1


def test_a_bug_is_a_500_that_tells_nothing(client, fleet, caplog):
    fleet.broken = RuntimeError("canary-secret")
    found = problem(client.get("/admin/replicas"), 500)
    assert found["detail"] == "the gateway failed; see its log"
    assert "canary-secret" in caplog.text
