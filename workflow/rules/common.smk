# The typed config, and the few functions by which rules name files and params. Every rule takes what it needs from here.
import os
from functools import cache
from types import SimpleNamespace

from snakemake.exceptions import WorkflowError

from cxrflow.config.fields import SPLIT_RULES
from cxrflow.config.read import read_config
from cxrflow.config.settings import experiment_settings, network_settings, training_settings, whole_settings
from cxrflow.explain.records import has_no_record
from cxrflow.images.fingerprint import fingerprint, stamps_of
from cxrflow.machine.gpu import trainings_at_once
from cxrflow.networks.variables import computing_variables
from cxrflow.networks.weights import find_weights
from cxrflow.stage.code_hash import code_hash
from cxrflow.stage.contents import contents_of
from cxrflow.stage.faults import Fault, one_line
from cxrflow.stage.files import canonical_json
from cxrflow.stage.planned import planned

try:
    CONFIG = read_config(config)
except Fault as fault:
    raise WorkflowError("The config has faults:", *map(one_line, fault.messages)) from None

# Relative, so that a checkout which moves has the same inputs and params.
PROJECT = Path(os.path.relpath(workflow.basedir))
RESULTS = Path("results") / CONFIG.name
STATES = Path("results") / "states"  # by what a training is, so shared by all names
SEEN = RESULTS / "images_seen.json"  # no output: it must outlive the index that is made again
KNOWN = RESULTS / "images_known.parquet"  # likewise
PIXELS = Path("results") / "pixels"  # of single images, by their contents: shared, too
RESOURCES = PROJECT / "workflow" / "resources"
ENVIRONMENT = f"../../envs/{CONFIG.environment}.yaml"  # as seen from the rules
FETCHED = Path("results") / CONFIG.fetched_into() if CONFIG.fetched_into() else None  # shared by all results
IMAGES = RESULTS / "phantoms" / "images" if CONFIG.phantoms else FETCHED or Path(CONFIG.images)
EXPERIMENTS = {**CONFIG.experiments, **CONFIG.extras}
SELECTED = {name: CONFIG.seeds_of(name) for name in CONFIG.selected()}
CLASSES = sorted({name for task in CONFIG.selected().values() for name in CONFIG.tasks[task.task].classes})
SIZES = sorted({experiment.image_size for experiment in CONFIG.selected().values()})

# Jobs find the package in this checkout, also in a conda environment or container that holds its dependencies alone; and
# the Python that runs Snakemake, also where its environment is not activated. No module of the working directory takes a
# library's place.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    PYTHONPATH=str((PROJECT / "workflow").resolve()),
    PYTHONSAFEPATH="1",
    PYTHONHASHSEED="0",
    PYTHONUNBUFFERED="1",
    MPLBACKEND="agg",
    KERAS_BACKEND="tensorflow",
    TF_CPP_MIN_LOG_LEVEL="3",
)


wildcard_constraints:
    experiment="|".join(map(re.escape, SELECTED)),
    task="|".join(map(re.escape, CONFIG.tasks)),
    folder="((train|test)/)?[^/]+",
    seed=r"\d+",
    size=r"\d+",
    epochs=r"\d+",


def shipped(value, name):
    """A file that the config names, or the study's own among the resources for `study`."""
    return None if value is None else (RESOURCES / name if value == "study" else Path(value))


IMAGE_LIST = shipped(CONFIG.image_list, "study_files.csv")
CLAIMS = shipped(CONFIG.claims, "claims.csv")
SCORECARD = RESULTS / "scorecard.csv" if CLAIMS else []

# As "NAME=value". Of the rules whose libraries compute otherwise by them.
VARIABLES = [f"{name}={value}" for name, value in computing_variables(os.environ).items()]


def existing(path, key):
    """A file that the config names and that must be there before any job starts."""
    if path and not Path(path).is_file():
        raise WorkflowError(f"{key}: {path}: no such file")
    return path or []


def images_fingerprint():
    """What the images look like from outside; the last index's fingerprint where their contents are as they were then."""
    if workflow.remote_exec and (plan := planned()):  # images may have been drawn or fetched since
        return plan["images"]
    try:
        stamps = stamps_of(IMAGES, CLASSES, CONFIG.layout, existing(IMAGE_LIST, "image_list") or None)
    except Fault as fault:
        raise WorkflowError(*fault.messages) from None
    return fingerprint(IMAGES, stamps, SEEN)


FINGERPRINT = images_fingerprint()


def made_again_without_record(output):
    """No input. An output that follows from no other is made again where Snakemake has no record of how it was made, and all else
    behind it: after .snakemake was deleted, or results copied, these would pass for what any config makes."""
    in_files = workflow.workflow_settings.persistence_backend.name == "FILE"
    if workflow.is_main_process and in_files and has_no_record(output):
        workflow.dag.forcefiles.add(str(output))
    return []


def patients_flags():
    """How index_images knows which images show the same patient."""
    keys = CONFIG.patients.model_dump(exclude_none=True) if CONFIG.patients else {}
    # One word each: a pattern may begin with a dash.
    return [f"--patients-{key}={value}" for key, value in keys.items()]


@cache  # asked for by each of an experiment's jobs, of which there may be thousands
def settings_of(experiment):
    """An experiment's settings as plain values; not to be changed."""
    return experiment_settings(CONFIG, experiment)


def runs(pattern):
    """A file of every selected run: pattern with {experiment} and {seed}, below the results folder."""
    return [RESULTS / pattern.format(experiment=name, seed=seed) for name in SELECTED for seed in SELECTED[name]]


def pixels_of(wildcards):
    """The decoded pixels of an experiment's task."""
    settings = settings_of(wildcards.experiment)
    folders = CONFIG.folders_of(settings["classes"])
    return [RESULTS / f"pixels/{settings['image_size']}/{folder}.npy" for folder in folders]


def split_of(wildcards):
    """The split of an experiment's task."""
    return RESULTS / f"split/{settings_of(wildcards.experiment)['task']}.csv"


def manifest_of(wildcards):
    """The augmentation manifest of an experiment's task, as long as its training."""
    settings = settings_of(wildcards.experiment)
    return RESULTS / f"augmentation/{settings['task']}/seed_{wildcards.seed}/epochs_{settings['epochs']}.parquet"


def first_run_of(wildcards):
    """The first selected experiment of a task, with its lowest seed: by it the augmentation of the task is shown."""
    name = next(name for name in SELECTED if settings_of(name)["task"] == wildcards.task)
    return SimpleNamespace(experiment=name, seed=min(SELECTED[name]))


def weights_source(experiment):
    """Where a backbone's initial weights are from: a file, a folder, imagenet or random."""
    return EXPERIMENTS[experiment].weights or CONFIG.weights


def initial_weights(experiment):
    """The file of a backbone's initial weights; nothing for random ones."""
    source, backbone = weights_source(experiment), EXPERIMENTS[experiment].backbone
    if source == "imagenet":
        return f"results/weights/{backbone}.weights.h5"
    return find_weights(source, backbone) or []


def weights_contents(wildcards):
    """The contents of a backbone's initial weights where they are the user's; fetched ones are a rule's."""
    fetched = weights_source(wildcards.experiment) == "imagenet"
    return [] if fetched else contents_of(initial_weights(wildcards.experiment))


# Told at once, before any job: weights that are not there.
weights_faults = []
for experiment in SELECTED:
    try:
        initial_weights(experiment)
    except Fault as fault:
        weights_faults += fault.messages
if weights_faults:
    raise WorkflowError(*dict.fromkeys(weights_faults))
