"""What can be seen of a plan's faults before any job: images too few for the split or for t-SNE."""

from cxrflow.config.models import Config
from cxrflow.images import SUBSET_FOLDERS
from cxrflow.machine.findings import Finding, fault
from cxrflow.machine.inputs import Images

FOLDERS_OF = {"training_folder": ("train",), "test_folder": ("test",), "both": SUBSET_FOLDERS}


def plan_findings(config: Config, images: Images) -> list[Finding]:
    """Faults of the selected experiments that the numbers of images show; none where there are no images to count."""
    if not any(images.folders.values()):
        return []
    tasks = sorted({experiment.task for experiment in config.selected().values()})
    split = _too_few_for_split(config, images, tasks) if config.split == "keras" else []
    return [*split, *_too_few_for_tsne(config, images, tasks)]


def _too_few_for_split(config: Config, images: Images, tasks: list[str]) -> list[Finding]:
    findings = []
    for name in sorted({name for task in tasks for name in config.tasks[task].classes}):
        train = images.count([name], "train")
        validation = int(train * config.validation_fraction)
        counts = {"training": train - validation, "validation": validation, "test": images.count([name], "test")}
        without = [subset for subset, count in counts.items() if not count]
        if train and without:
            text = f"class {name} has no {' and no '.join(without)} image ({train} in train/)"
            findings.append(fault("split", f"{text}; give it more images, or change validation_fraction or split"))
    return findings


def _too_few_for_tsne(config: Config, images: Images, tasks: list[str]) -> list[Finding]:
    findings = []
    for task in tasks:
        folders = FOLDERS_OF[config.feature_images]
        count = sum(images.count(config.tasks[task].classes, folder) for folder in folders)
        if count and config.tsne.perplexity >= count:
            text = f"tsne.perplexity is {config.tsne.perplexity:g}, task {task} has {count} images to show"
            findings.append(
                fault("t-SNE", f"{text}; it must be below: take a smaller perplexity, or feature_images: both")
            )
    return findings
