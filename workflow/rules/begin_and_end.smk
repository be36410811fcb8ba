# Before the first job and after the last one: allow one run at a time, check the machine, repeat errors at the end.
#
# Requires: nothing
# Makes:    results/locks/, which says which process writes which results, and contains the settings and plan for jobs

import atexit
import gc
import time

from cxrflow.io.fetch import fetched_files
from cxrflow.io.planned import refuse_other_settings
from cxrflow.run import adapter, hooks
from cxrflow.run.runs import join_run
from cxrflow.run.sealing import seal_before_start

STARTED = time.time()
FETCHING = ("fetch_images", "fetch_weights")  # their outputs are checked by hash, whichever code fetched them

adapter.refuse_records_in_database(workflow)
adapter.rebuild_incomplete_jobs(
    workflow,
    PROJECT.resolve() / "workflow" / "rules",
    need_no_record=FETCHING,
    undeclared={"fetch_images": fetched_files(Path(f"{FETCHED}.csv"), FETCHED)} if FETCHED else {},
)

# A plan consists of millions of objects that live to the end. Collecting garbage among them, and deleting them one by one at
# exit, would take a quarter of a dry run's time.
gc.set_threshold(100_000)
atexit.register(lambda: adapter.is_dry_run(workflow) and gc.freeze())

SETTINGS = sha256_of_text(canonical_json([EVERYTHING, SELECTED]))[:16]

# On a node of a cluster, the environment comes with the job.
if adapter.is_job_of_cluster(workflow):
    try:
        refuse_other_settings(SETTINGS)
        if run := os.environ.get("CXRFLOW_RUN"):
            adapter.let_jobs_inherit(join_run(hooks.LOCKS, RESULTS, run))
    except UserError as error:
        raise WorkflowError(*error.messages) from None


def begin():
    if adapter.has_hooks(workflow):
        planned = adapter.planned_stages(workflow)
        try:
            adapter.let_jobs_inherit(*hooks.claim_before_start(RESULTS, FETCHED, planned))
        except UserError as error:
            raise WorkflowError(
                *error.messages, "Wait until it has ended, or stop it, and run the same command again."
            ) from None
        lock = PROJECT / "envs" / f"{CONFIG.environment}.lock"
        if not hooks.examine_before_start(CONFIG, lock, adapter.runs_on_slurm(workflow), planned):
            raise WorkflowError(
                "Nothing was started. Fix the lines that start with `error` above, and run the same command again."
            )
    if CLAIMS:
        try:
            seal_before_start(CLAIMS, SEALS, {name: CONFIG.seeds_of(name) for name in EXPERIMENTS})
        except UserError as error:
            raise WorkflowError("The claims have errors:", *error.messages) from None
    hooks.hand_on_plan(HANDED_ON, SETTINGS, FINGERPRINT)


adapter.before_jobs(workflow, begin)


onsuccess:
    if adapter.is_in_plan(workflow, "assemble_report"):
        print(f"report: {RESULTS}/report/index.html", file=sys.stderr)


onerror:
    lines = hooks.errors_in_logs(RESULTS, STARTED)
    print(*lines, sep="\n", file=sys.stderr)
    adapter.forget(
        workflow, hooks.report_what_is_finished(adapter.unfinished_jobs(workflow), RESULTS, SELECTED, STARTED)
    )
    if any(": stopped by " in line for line in lines):
        print("Stopped. The same command continues this run.", file=sys.stderr)
