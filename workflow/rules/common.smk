# The typed config, and the few functions with which rules name files and params. All rules take what they need from here.
import os
from functools import cache
from types import SimpleNamespace

from snakemake.exceptions import WorkflowError

from cxrflow.images.fingerprint import fingerprint, stamps_of
from cxrflow.io.code_hash import code_of
from cxrflow.io.hashes import contents_of
from cxrflow.io.errors import UserError, one_line
from cxrflow.io.files import canonical_json, sha256_of_text
from cxrflow.io.planned import planned
from cxrflow.networks.weights import find_weights
from cxrflow.run import adapter
from cxrflow.run.job_environment import package_path, set_environment
from cxrflow.run.gpu import gpus_of_training, trainings_at_once
from cxrflow.run.handed_on import handed_on
from cxrflow.run.downloads import check_weights
from cxrflow.run.images import columns_flags, missing_folder
from cxrflow.study.fields import SPLIT_RULES
from cxrflow.study.folds import pattern_of, trainings_of_folds, without_fold
from cxrflow.study.settings import experiment_settings, network_settings, settings_of_rule
from cxrflow.study.settings import training_settings, whole_settings
from cxrflow.training.environment import computing_variables

try:
    KEYS, CONFIG, STUDY_FILES = adapter.read_run_config(workflow, config)
except UserError as error:
    raise WorkflowError("The config has errors:", *map(one_line, error.messages)) from None

set_environment(PROJECT, CONFIG.backend)
adapter.export_to_jobs("PYTHONPATH", package_path(PROJECT))

RESULTS = Path("results") / CONFIG.name
CHECKPOINTS = Path("results") / "checkpoints"  # by the identity of a training, so shared by all names
SEEN = RESULTS / "images_seen.json"  # not an output, since it must remain when the index is rebuilt
KNOWN = RESULTS / "images_known.parquet"  # the same
HANDED_ON = Path("results") / "locks" / CONFIG.name / "handed_on"  # settings and plan, as files that jobs read
PIXELS = Path("results") / "pixels"  # of single images, by their contents, so also shared
ENVIRONMENT = f"../../envs/{CONFIG.environment}.yaml"  # as seen from the rules
FETCHED = Path("results") / CONFIG.fetched_into() if CONFIG.fetched_into() else None  # shared by all results
IMAGES = RESULTS / "phantoms" / "images" if CONFIG.phantoms else FETCHED or Path(CONFIG.images)
EXPERIMENTS = {**CONFIG.experiments, **CONFIG.extras}
WEIGHTS = {name: one.weights or CONFIG.weights for name, one in EXPERIMENTS.items()}  # file, folder, imagenet, random
SELECTED = {name: CONFIG.seeds_of(name) for name in CONFIG.selected()}
FOLDS = {name: trainings_of_folds(CONFIG, name) for name in SELECTED}  # fold to the seed of its training, in a list
EXPLAINED = CONFIG.explained()
CLASSES = sorted({name for task in CONFIG.selected().values() for name in CONFIG.tasks[task.task].classes})
SIZES = sorted({experiment.image_size for experiment in CONFIG.selected().values()})


wildcard_constraints:
    experiment=pattern_of(SELECTED),
    task=pattern_of(CONFIG.tasks),
    folder="((train|test)/)?[^/]+",
    seed=r"\d+",
    size=r"\d+",
    epochs=r"\d+",


IMAGE_LIST = Path(CONFIG.image_list) if CONFIG.image_list else None
CLAIMS = Path(CONFIG.claims) if CONFIG.claims else None
SCORECARD = RESULTS / "scorecard.csv" if CLAIMS else []
VARIABLES = [f"{name}={value}" for name, value in computing_variables(os.environ).items()]  # results depend on them


def existing(path, key):
    """Check that a file named in the config exists before any job starts."""
    if path and not Path(path).is_file():
        raise WorkflowError(f"{key}: {path}: no such file")
    return path or []


def images_fingerprint():
    """Compute the fingerprint of the images, which stays that of the last index if their contents have not changed."""
    if adapter.is_job_of_cluster(workflow) and (plan := planned()):  # images may have been drawn or fetched since
        return plan["images"]
    if not (CONFIG.phantoms or FETCHED) and (missing := missing_folder(CONFIG.images)):
        raise WorkflowError(f"images: {missing}")
    try:
        image_list = existing(IMAGE_LIST, "image_list") or None
        stamps = stamps_of(IMAGES, CLASSES, CONFIG.layout, image_list, CONFIG.columns_of_list())
    except UserError as error:
        raise WorkflowError(*error.messages) from None
    return fingerprint(IMAGES, stamps, SEEN)


FINGERPRINT = images_fingerprint()


def settings_for(rule):
    """Return the keys of the config that a rule's jobs read, as JSON."""
    return canonical_json(settings_of_rule(CONFIG, rule))


@cache  # called for each job of an experiment, and there may be thousands
def settings_of(experiment):
    """Return an experiment's settings as plain values, which must not be changed."""
    return experiment_settings(CONFIG, experiment)


def runs(pattern, trainings=SELECTED, only=None):
    """List a file of every selected training, or of those of one experiment: a pattern with {experiment} and {seed}."""
    names = [only] if only else trainings
    return [RESULTS / pattern.format(experiment=name, seed=seed) for name in names for seed in trainings[name]]


def pixels_of(wildcards):
    """List the files of decoded pixels of an experiment's task."""
    settings = settings_of(wildcards.experiment)
    folders = CONFIG.folders_of(settings["classes"])
    return [RESULTS / f"pixels/{settings['image_size']}/{folder}.npy" for folder in folders]


def split_of(wildcards):
    """Return the split of an experiment's task."""
    return RESULTS / f"split/{settings_of(wildcards.experiment)['task']}.csv"


def manifest_of(wildcards):
    """Return the augmentation manifest of an experiment's task, with as many epochs as its training."""
    settings = settings_of(wildcards.experiment)
    return RESULTS / f"augmentation/{settings['task']}/seed_{wildcards.seed}/epochs_{settings['epochs']}.parquet"


def first_run_of(wildcards):
    """Return the first selected experiment of a task and its lowest seed, for which the task's augmentation is shown."""
    name = next(name for name in SELECTED if settings_of(name)["task"] == wildcards.task)
    return SimpleNamespace(experiment=name, seed=min(SELECTED[name]))


def initial_weights(experiment):
    """Return the file of a backbone's initial weights, or an empty list for random weights."""
    source, backbone = WEIGHTS[without_fold(experiment)], EXPERIMENTS[without_fold(experiment)].backbone
    if source == "imagenet":
        return f"results/weights/{backbone}.weights.h5"
    return find_weights(source, backbone) or []


def weights_contents(wildcards):
    """Hash the contents of initial weights that are the user's own file; downloaded ones are outputs of a rule."""
    fetched = WEIGHTS[without_fold(wildcards.experiment)] == "imagenet"
    return [] if fetched else contents_of(initial_weights(wildcards.experiment))


# Weights that do not exist are reported together, before any job.
if weights_errors := [one.text for one in check_weights(CONFIG, Path("results")) if one.level == "error"]:
    raise WorkflowError(*(f"weights: {text}" for text in weights_errors))
