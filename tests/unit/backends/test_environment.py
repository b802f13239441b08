from backends.environment import replica_environment
from backends.replica import ReplicaSpec

OWN = {
    "PATH": "/bin",
    "HOME": "/root",
    "HF_TOKEN": "hf",
    "HF_HOME": "/models",
    "CUDA_VISIBLE_DEVICES": "0,1",
    "NCCL_DEBUG": "INFO",
    "HTTPS_PROXY": "p",
    "no_proxy": "n",
    "OMPI_MCA_btl_tcp_if_include": "lo",
    "TRTGW_ADMIN_TOKEN": "secret",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "OMPI_COMM_WORLD_SIZE": "8",
    "PMIX_RANK": "0",
    "SLURM_JOB_ID": "1",
    "REDIS_URL": "secret",
}


def environment(*, gpus=(), root=False, **env):
    spec = ReplicaSpec("m", "m", "process", env=env, gpus=gpus)
    return replica_environment(spec, OWN, tags={"TRTGW_REPLICA_ID": "r1"}, root=root)


def test_only_what_a_replica_needs_is_handed_on():
    passed = environment()
    assert not set(passed) & {
        "TRTGW_ADMIN_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "OMPI_COMM_WORLD_SIZE",
        "PMIX_RANK",
        "SLURM_JOB_ID",
        "REDIS_URL",
    }
    kept = ("PATH", "HF_TOKEN", "NCCL_DEBUG", "HTTPS_PROXY", "no_proxy")
    assert {name: passed[name] for name in kept} == {name: OWN[name] for name in kept}
    assert passed["OMPI_MCA_btl_tcp_if_include"] == "lo"
    assert passed["PYTHONUNBUFFERED"] == "1"


def test_its_gpus_are_the_only_ones_it_sees():
    assert environment(gpus=("GPU-a", "GPU-b"))["CUDA_VISIBLE_DEVICES"] == "GPU-a,GPU-b"
    assert environment()["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_the_recipe_wins_over_the_host_and_the_tags_over_the_recipe():
    passed = environment(NCCL_DEBUG="WARN", TRTGW_REPLICA_ID="forged")
    assert (passed["NCCL_DEBUG"], passed["TRTGW_REPLICA_ID"]) == ("WARN", "r1")


def test_root_may_use_mpi():
    assert environment(root=True)["OMPI_ALLOW_RUN_AS_ROOT"] == "1"
    assert "OMPI_ALLOW_RUN_AS_ROOT" not in environment()
