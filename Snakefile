# cxrflow: the rules stand in workflow/rules/, in the order of the flow; this file is their table of contents.
from pathlib import Path
import sys

from snakemake.utils import min_version

min_version("9.27")

sys.path.insert(0, f"{workflow.basedir}/workflow")


configfile: f"{workflow.basedir}/config.yaml"


container: "envs/cxrflow.sif"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


rule all:
    """The report of all selected experiments, their models, and the scorecard where there are claims."""
    default_target: True
    input:
        RESULTS / "report" / "index.html",
        SCORECARD,
        runs("runs/{experiment}/seed_{seed}/model.keras"),


rule train_all:
    """All trainings, nothing behind them."""
    input:
        runs("runs/{experiment}/seed_{seed}/model.keras"),


include: "workflow/rules/data.smk"
include: "workflow/rules/augmentation.smk"
include: "workflow/rules/networks.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/begin_and_end.smk"
