# The data set: from image files to an index, a split for each task, decoded pixels, and audits.
#
# Requires: a folder of images (`images`, `layout`), the internet (`images: published`), or nothing (`phantoms`).
# Makes:    results/images/{list}/ (shared by all results), images.parquet, split/{task}.csv (with `folds` also
#           split/{task}@repeat_{repeat}.fold_{fold}.csv, a task for each fold), pixels/{size}/{folder}.npy, where
#           the folder follows the layout (train/covid, or covid), data_audit.json, audits/rivals.csv

from cxrflow.study.folds import name_of_fold
from cxrflow.study.settings import fold_settings

TASKS = sorted({experiment.task for experiment in CONFIG.selected().values()})
SPLITS = [RESULTS / f"split/{task}.csv" for task in TASKS]
# An input of trainings only if an audit may end the run; otherwise they need not wait for it.
AUDITS_PASSED = RESULTS / "audits/passed.json" if CONFIG.audits.may_fail() else []

if CONFIG.phantoms:

    rule make_phantoms:
        """Draw chest phantoms for training and test."""
        message:
            "Draw chest phantoms: {params.train_per_class} for training and {params.test_per_class} for the test per class."
        output:
            folder=directory(IMAGES),
            table=RESULTS / "phantoms" / "phantoms.csv",
        params:
            # Snakemake compares params as a set, and would not notice if three bare numbers changed places.
            numbers=canonical_json(CONFIG.phantoms.model_dump()),
            train_per_class=CONFIG.phantoms.train_per_class,
            test_per_class=CONFIG.phantoms.test_per_class,
            seed=CONFIG.phantoms.seed,
            classes=CLASSES,
            code=code_of("make_phantoms"),
        log:
            RESULTS / "logs/make_phantoms.log",
        benchmark:
            RESULTS / "benchmarks/make_phantoms.tsv"
        resources:
            mem_mb=500,
            runtime=60,
            disk_mb=1000,
        conda:
            ENVIRONMENT
        shell:
            """
            python -m cxrflow.stages.make_phantoms \
                --train-per-class {params.train_per_class:q} \
                --test-per-class {params.test_per_class:q} \
                --seed {params.seed:q} \
                --classes {params.classes:q} \
                --folder {output.folder:q} \
                --table {output.table:q} 2>&1 | tee {log:q}
            """


if FETCHED:

    rule fetch_images:
        """Fetch the images of the image list, each checked against its hash."""
        message:
            "Fetch the images of {input.image_list} into {params.folder}."
        input:
            image_list=existing(IMAGE_LIST, "image_list"),
        output:
            record=f"{FETCHED}.csv",
        params:
            # The images are no declared outputs: Snakemake would delete them before a job, and a fetch could not resume.
            folder=FETCHED,
            # A function of `input`, so not recorded: the hash of a file counts, not its source.
            sources=lambda wildcards, input: CONFIG.image_sources,
            missing_images=CONFIG.missing_images,
            columns=lambda wildcards: columns_flags(CONFIG),  # a function, since names may contain braces, which are not wildcards
            contents=contents_of(IMAGE_LIST or []),
            code=code_of("fetch_images"),
        log:
            "results/logs/fetch_images.log",
        benchmark:
            "results/benchmarks/fetch_images.tsv"
        localrule: True  # on a cluster, the node that submits has the internet; the nodes that train need none
        retries: 2
        resources:
            mem_mb=500,
            runtime=720,
            disk_mb=10000,
        conda:
            ENVIRONMENT
        shell:
            """
            python -m cxrflow.stages.fetch_images \
                --image-list {input.image_list:q} \
                {params.columns:q} \
                --sources {params.sources:q} \
                --missing-images {params.missing_images:q} \
                --folder {params.folder:q} \
                --record {output.record:q} 2>&1 | tee {log:q}
            """


rule index_images:
    """List the images with their contents' hashes."""
    message:
        "List the images of {params.classes} below {params.root}, with their contents' hashes."
    input:
        image_list=existing(IMAGE_LIST, "image_list"),
        phantoms=rules.make_phantoms.output.table if CONFIG.phantoms else [],
        fetched=rules.fetch_images.output.record if FETCHED else [],
    output:
        images=RESULTS / "images.parquet",
    params:
        root=IMAGES,
        classes=CLASSES,
        settings=lambda wildcards: settings_for("index_images"),  # a function, since names may contain braces, which are not wildcards
        image_list=["--image-list", IMAGE_LIST] if IMAGE_LIST else [],
        contents=contents_of(IMAGE_LIST or []),
        fingerprint=FINGERPRINT,
        seen=SEEN,
        known=KNOWN,
        store=PIXELS,
        # Functions of `input`, so not recorded: cache_pixels decodes images that are not in the store.
        sizes=lambda wildcards, input: SIZES,
        resampling=lambda wildcards, input: CONFIG.resampling,
        code=code_of("index_images"),
    log:
        RESULTS / "logs/index_images.log",
    benchmark:
        RESULTS / "benchmarks/index_images.tsv"
    threads: 2
    resources:
        mem_mb=1000,
        runtime=240,
        disk_mb=2000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.index_images \
            --root {params.root:q} \
            --classes {params.classes:q} \
            --settings {params.settings:q} \
            {params.image_list:q} \
            --workers {threads:q} \
            --fingerprint {params.fingerprint:q} \
            --record {params.seen:q} \
            --cache {params.known:q} \
            --store {params.store:q} \
            --sizes {params.sizes:q} \
            --resampling {params.resampling:q} \
            --images {output.images:q} 2>&1 | tee {log:q}
        """


rule split_images:
    """Split a task's images into training, validation and test."""
    message:
        "Split the images of task {wildcards.task} into training, validation and test."
    input:
        images=rules.index_images.output.images,
        table=[] if CONFIG.split in SPLIT_RULES else existing(CONFIG.split, "split"),
    output:
        split=RESULTS / "split/{task}.csv",
    params:
        classes=lambda wildcards: CONFIG.classes_of(wildcards.task),
        settings=settings_for("split_images"),
        table=lambda wildcards, input: ["--table", input.table] if input.table else [],
        contents=[] if CONFIG.split in SPLIT_RULES else contents_of(CONFIG.split),
        code=code_of("split_images"),
    log:
        RESULTS / "logs/split_images/{task}.log",
    benchmark:
        RESULTS / "benchmarks/split_images/{task}.tsv"
    resources:
        mem_mb=500,
        runtime=60,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.split_images \
            --images {input.images:q} \
            --classes {params.classes:q} \
            --settings {params.settings:q} \
            {params.table:q} \
            --split {output.split:q} 2>&1 | tee {log:q}
        """


if CONFIG.folds:

    rule split_folds:
        """Divide a task's images into folds, each of which is the test subset of one split."""
        message:
            "Divide the images of task {wildcards.task} into folds: repeat {wildcards.repeat}."
        input:
            images=rules.index_images.output.images,
            split=rules.split_images.output.split,
        output:
            splits=[
                RESULTS / "split" / f"{name_of_fold('{task}', '{repeat}', fold)}.csv" for fold in range(CONFIG.folds)
            ],
        params:
            classes=lambda wildcards: CONFIG.classes_of(wildcards.task),
            settings=canonical_json(fold_settings(CONFIG)),
            code=code_of("split_folds"),
        wildcard_constraints:
            repeat=r"\d+",
        log:
            RESULTS / "logs/split_folds/{task}/repeat_{repeat}.log",
        benchmark:
            RESULTS / "benchmarks/split_folds/{task}/repeat_{repeat}.tsv"
        resources:
            mem_mb=500,
            runtime=60,
            disk_mb=1000,
        conda:
            ENVIRONMENT
        shell:
            """
            python -m cxrflow.stages.split_folds \
                --images {input.images:q} \
                --classes {params.classes:q} \
                --split {input.split:q} \
                --settings {params.settings:q} \
                --repeat {wildcards.repeat:q} \
                --splits {output.splits:q} 2>&1 | tee {log:q}
            """


rule cache_pixels:
    """Decode the images of a class folder, once for all trainings."""
    message:
        "Decode the images of {wildcards.folder} at {wildcards.size} px, once for all trainings."
    input:
        images=rules.index_images.output.images,
    output:
        pixels=RESULTS / "pixels/{size}/{folder}.npy",
        rows=RESULTS / "pixels/{size}/{folder}.csv",
    params:
        root=IMAGES,
        settings=settings_for("cache_pixels"),
        store=PIXELS,
        code=code_of("cache_pixels"),
    log:
        RESULTS / "logs/cache_pixels/{size}/{folder}.log",
    benchmark:
        RESULTS / "benchmarks/cache_pixels/{size}/{folder}.tsv"
    threads: 2
    resources:
        mem_mb=1000,
        runtime=240,
        disk_mb=5000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.cache_pixels \
            --images {input.images:q} \
            --root {params.root:q} \
            --folder {wildcards.folder:q} \
            --size {wildcards.size:q} \
            --settings {params.settings:q} \
            --workers {threads:q} \
            --store {params.store:q} \
            --pixels {output.pixels:q} 2>&1 | tee {log:q}
        """


rule audit_data:
    """Describe the images, and look for what makes results look better than they are."""
    message:
        "Audit the images."
    input:
        images=rules.index_images.output.images,
        splits=SPLITS,
        pixels=lambda wildcards: [RESULTS / f"pixels/{SIZES[0]}/{folder}.npy" for folder in CONFIG.folders_of(CLASSES)],
    output:
        audit=RESULTS / "data_audit.json",
        rivals=RESULTS / "audits/rivals.csv",
    params:
        # A function, since names may contain braces, which are not wildcards.
        classes=lambda wildcards: canonical_json({task: CONFIG.classes_of(task) for task in TASKS}),
        settings=settings_for("audit_data"),
        code=code_of("audit_data"),
    log:
        RESULTS / "logs/audit_data.log",
    benchmark:
        RESULTS / "benchmarks/audit_data.tsv"
    priority: 1  # so that its warnings come before trainings, not hours later
    resources:
        mem_mb=2000,
        runtime=240,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.audit_data \
            --images {input.images:q} \
            --splits {input.splits:q} \
            --classes {params.classes:q} \
            --pixels {input.pixels:q} \
            --settings {params.settings:q} \
            --audit {output.audit:q} \
            --rivals {output.rivals:q} 2>&1 | tee {log:q}
        """


rule measure_power:
    """Insert known problems into copies of the images, and measure how many the audits find; only on demand."""
    message:
        "Measure what the audits find in these images."
    input:
        images=rules.index_images.output.images,
        splits=SPLITS,
        pixels=rules.audit_data.input.pixels,
    output:
        power=RESULTS / "audits/power.csv",
    params:
        root=IMAGES,
        # A function, since names may contain braces, which are not wildcards.
        classes=lambda wildcards: canonical_json({task: CONFIG.classes_of(task) for task in TASKS}),
        settings=settings_for("measure_power"),
        code=code_of("measure_power"),
    log:
        RESULTS / "logs/measure_power.log",
    benchmark:
        RESULTS / "benchmarks/measure_power.tsv"
    threads: 2
    resources:
        mem_mb=2000,
        runtime=240,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.measure_power \
            --images {input.images:q} \
            --root {params.root:q} \
            --splits {input.splits:q} \
            --classes {params.classes:q} \
            --pixels {input.pixels:q} \
            --settings {params.settings:q} \
            --workers {threads:q} \
            --power {output.power:q} 2>&1 | tee {log:q}
        """


if AUDITS_PASSED:

    rule check_audits:
        """End the run before any training if an audit that is set to `fail` found a problem."""
        message:
            "Check the audits that the config sets to `fail`."
        input:
            audit=rules.audit_data.output.audit,
        output:
            passed=AUDITS_PASSED,
        params:
            settings=settings_for("check_audits"),
            code=code_of("check_audits"),
        log:
            RESULTS / "logs/check_audits.log",
        benchmark:
            RESULTS / "benchmarks/check_audits.tsv"
        localrule: True  # seconds of work on a small file, too little for a job on a cluster
        resources:
            mem_mb=500,
            runtime=60,
            disk_mb=1000,
        conda:
            ENVIRONMENT
        shell:
            """
            python -m cxrflow.stages.check_audits \
                --audit {input.audit:q} \
                --settings {params.settings:q} \
                --passed {output.passed:q} 2>&1 | tee {log:q}
            """
