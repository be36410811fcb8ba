# Before the first job and behind the last one: one run at a time, the doctor's short look, errors told once more.
#
# Requires: nothing
# Makes:    results/locks/, which says who makes which results; software.json, the packages that runs were started with

import atexit
import gc
import time

from cxrflow.doctor import examine_config, examine_gpu, examine_packages, short_list
from cxrflow.machine.cluster import examine_cluster
from cxrflow.machine.runs import claim_results, join_run, run_of
from cxrflow.machine.slurm_jobs import jobs_ended_by_slurm
from cxrflow.outdated.journal import NAME as SOFTWARE, packages_of_jobs, write_down
from cxrflow.stage.files import sha256_of_text
from cxrflow.stage.planned import refuse_other_settings

LOCKS = Path("results") / "locks"

# A plan is millions of objects that stay. Python would look through them for garbage time and again, and at the end take
# them apart one by one: a quarter of a dry run's time.
gc.set_threshold(100_000)
atexit.register(lambda: workflow.dryrun and gc.freeze())


def hold_in_jobs(*locks):
    """Let all jobs inherit open files, so that jobs which outlive this process are seen."""
    shell._process_args["pass_fds"] = locks  # Snakemake has no other way to it, and closes all files in jobs


def claim_before_start():
    """Begin alone: no other run makes what this one makes, and no job of a run that was killed still does."""
    fetched = {"fetch_images": FETCHED, "fetch_weights": Path("results/weights")}
    planned = {job.rule.name for job in workflow.dag.needrun_jobs()}
    folders = [RESULTS, *(fetched[name] for name in sorted(planned & set(fetched)))]
    try:
        hold_in_jobs(*(claim_results(LOCKS, folder, lambda line: print(line, file=sys.stderr)) for folder in folders))
    except Fault as fault:
        raise WorkflowError(
            *fault.messages, "Wait until it has ended; or end it, and give the command again."
        ) from None
    os.environ.update(CXRFLOW_RUN=run_of(LOCKS, RESULTS))


SETTINGS = sha256_of_text(canonical_json([EVERYTHING, SELECTED]))[:16]

# On a node of a cluster, where the environment comes with the job.
if workflow.remote_exec:
    try:
        refuse_other_settings(SETTINGS)
        if run := os.environ.get("CXRFLOW_RUN"):
            hold_in_jobs(join_run(LOCKS, RESULTS, run))
    except Fault as fault:
        raise WorkflowError(*fault.messages) from None
else:
    CODE = {rule.name: code_hash(f"cxrflow.{rule.name}") for rule in workflow.rules if not rule.norun}
    os.environ.update(CXRFLOW_PLAN=canonical_json({"settings": SETTINGS, "images": FINGERPRINT, "code": CODE}))


def examine_before_start():
    """The doctor's short look at the machine, at the start of every run; one of its faults ends the run."""
    through_slurm = workflow.executor_plugin and workflow.executor_plugin.name == "slurm"
    lock = PROJECT / "envs" / f"{CONFIG.environment}.lock"
    findings = [
        *examine_packages(lock, CONFIG.versions),
        *(
            examine_cluster(os.environ)
            if through_slurm
            else [examine_gpu(True, CONFIG.device, CONFIG.trainings_per_gpu)]
        ),
        *examine_config(CONFIG, Path("results")),
    ]
    print(*short_list(findings), sep="\n", file=sys.stderr)
    if any(finding.level == "fault" for finding in findings):
        raise WorkflowError("The doctor found faults, see above; `make doctor` tells more.")
    # By it `make rebuild-outdated` knows what was made with other versions.
    by_conda_or_container = bool(workflow.deployment_settings.deployment_method)
    write_down(RESULTS / SOFTWARE, packages_of_jobs(lock, by_conda_or_container), time.time())


STARTED = time.time()


def errors_in_logs():
    """What the stages of this run said was wrong, or where they stopped, once more: on the screen it stands far above. And what
    Slurm ended."""
    folders = (Path("results/logs"), RESULTS / "logs")
    logs = [path for folder in folders for path in folder.rglob("*.log") if path.stat().st_mtime >= STARTED]
    of_stages = [
        f"{path}: {line}"
        for path in sorted(logs)
        for line in path.read_text().splitlines()
        if line.startswith(("error: ", "stopped by "))
    ]
    return of_stages + jobs_ended_by_slurm(Path(".snakemake/slurm_logs"), STARTED)


onstart:
    claim_before_start()
    examine_before_start()


onsuccess:
    print(f"report: {RESULTS}/report/index.html", file=sys.stderr)


onerror:
    print(*errors_in_logs(), sep="\n", file=sys.stderr)
