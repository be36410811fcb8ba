# The data set: from image files to an index, an audit, a split for each task, and decoded pixels.
#
# Requires: a folder of images (`images`, `layout`), the internet (`images: study`), or nothing (`phantoms`).
# Makes:    results/images/{list}/ (shared by all results), images.parquet, data_audit.json, split/{task}.csv,
#           pixels/{size}/{folder}.npy, the folder as in the layout: train/covid, or covid

if CONFIG.phantoms:

    rule make_phantoms:
        """Draw chest phantoms for training and test."""
        message:
            "Draw chest phantoms: {params.train_per_class} for training and {params.test_per_class} for the test a class."
        input:
            lambda wildcards: made_again_without_record(RESULTS / "phantoms" / "phantoms.csv"),
        output:
            folder=directory(IMAGES),
            table=RESULTS / "phantoms" / "phantoms.csv",
        params:
            # Snakemake compares params as a set: three bare numbers could change places unseen.
            numbers=canonical_json(CONFIG.phantoms.model_dump()),
            train_per_class=CONFIG.phantoms.train_per_class,
            test_per_class=CONFIG.phantoms.test_per_class,
            seed=CONFIG.phantoms.seed,
            classes=CLASSES,
            code=code_hash("cxrflow.make_phantoms"),
        log:
            RESULTS / "logs/make_phantoms.log",
        benchmark:
            RESULTS / "benchmarks/make_phantoms.tsv"
        resources:
            mem_mb=500,
        conda:
            ENVIRONMENT
        shell:
            """
            python -m cxrflow.make_phantoms \
                --train-per-class {params.train_per_class:q} \
                --test-per-class {params.test_per_class:q} \
                --seed {params.seed:q} \
                --classes {params.classes:q} \
                --folder {output.folder:q} \
                --table {output.table:q} 2>&1 | tee {log:q}
            """


if FETCHED:

    # On a cluster, the node that submits has the internet; the nodes that train need none.
    localrules:
        fetch_images,

    rule fetch_images:
        """Fetch the images of the image list, each checked against its hash."""
        message:
            "Fetch the images of {input.image_list} into {params.folder}."
        input:
            image_list=existing(IMAGE_LIST, "image_list"),
        output:
            record=f"{FETCHED}.csv",
        params:
            # The images are no declared outputs: Snakemake deletes those before a job, and a fetch goes on where it was.
            folder=FETCHED,
            # Not recorded, since it asks for `input`: the hash of a file counts, not where it is from.
            sources=lambda wildcards, input: CONFIG.image_sources,
            missing_images=CONFIG.missing_images,
            contents=contents_of(IMAGE_LIST or []),
            code=code_hash("cxrflow.fetch_images"),
        log:
            "results/logs/fetch_images.log",
        benchmark:
            "results/benchmarks/fetch_images.tsv"
        resources:
            mem_mb=500,
        conda:
            ENVIRONMENT
        shell:
            """
            python -m cxrflow.fetch_images \
                --image-list {input.image_list:q} \
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
        none=lambda wildcards: made_again_without_record(RESULTS / "images.parquet"),
    output:
        images=RESULTS / "images.parquet",
    params:
        root=IMAGES,
        classes=CLASSES,
        layout=CONFIG.layout,
        image_list=["--image-list", IMAGE_LIST] if IMAGE_LIST else [],
        contents=contents_of(IMAGE_LIST or []),
        patients=lambda wildcards: patients_flags(),  # a function: a pattern may hold braces, which are no wildcards
        missing_images=CONFIG.missing_images,
        on_bad_image=CONFIG.on_bad_image,
        fingerprint=FINGERPRINT,
        seen=SEEN,
        known=KNOWN,
        store=PIXELS,
        # Not recorded, since they ask for `input`: what is not in the store, cache_pixels decodes.
        sizes=lambda wildcards, input: SIZES,
        resampling=lambda wildcards, input: CONFIG.resampling,
        code=code_hash("cxrflow.index_images"),
    log:
        RESULTS / "logs/index_images.log",
    benchmark:
        RESULTS / "benchmarks/index_images.tsv"
    threads: 2
    resources:
        mem_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.index_images \
            --root {params.root:q} \
            --classes {params.classes:q} \
            --layout {params.layout:q} \
            {params.image_list:q} \
            {params.patients:q} \
            --missing-images {params.missing_images:q} \
            --on-bad-image {params.on_bad_image:q} \
            --workers {threads:q} \
            --fingerprint {params.fingerprint:q} \
            --seen {params.seen:q} \
            --known {params.known:q} \
            --store {params.store:q} \
            --sizes {params.sizes:q} \
            --resampling {params.resampling:q} \
            --images {output.images:q} 2>&1 | tee {log:q}
        """


rule audit_data:
    """Say what the data set is, and what is doubtful about it."""
    message:
        "Audit the images."
    input:
        images=rules.index_images.output.images,
    output:
        audit=RESULTS / "data_audit.json",
    params:
        code=code_hash("cxrflow.audit_data"),
    log:
        RESULTS / "logs/audit_data.log",
    benchmark:
        RESULTS / "benchmarks/audit_data.tsv"
    resources:
        mem_mb=500,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.audit_data \
            --images {input.images:q} \
            --audit {output.audit:q} 2>&1 | tee {log:q}
        """


rule split_images:
    """Split a task's images into training, validation and test."""
    message:
        "Split the images of task {wildcards.task} into training, validation and test by {params.rule}."
    input:
        images=rules.index_images.output.images,
        table=[] if CONFIG.split in SPLIT_RULES else existing(CONFIG.split, "split"),
    output:
        split=RESULTS / "split/{task}.csv",
    params:
        classes=lambda wildcards: CONFIG.classes_of(wildcards.task),
        rule=CONFIG.split,
        contents=[] if CONFIG.split in SPLIT_RULES else contents_of(CONFIG.split),
        validation_fraction=CONFIG.validation_fraction,
        # Of a made split alone, so that the others are not made again for them.
        made=(
            ["--test-fraction", CONFIG.test_fraction, "--seed", CONFIG.split_seed]
            if CONFIG.split == "stratified"
            else []
        ),
        code=code_hash("cxrflow.split_images"),
    log:
        RESULTS / "logs/split_images/{task}.log",
    benchmark:
        RESULTS / "benchmarks/split_images/{task}.tsv"
    resources:
        mem_mb=500,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.split_images \
            --images {input.images:q} \
            --classes {params.classes:q} \
            --rule {params.rule:q} \
            --validation-fraction {params.validation_fraction:q} \
            {params.made:q} \
            --split {output.split:q} 2>&1 | tee {log:q}
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
        resampling=CONFIG.resampling,
        store=PIXELS,
        code=code_hash("cxrflow.cache_pixels"),
    log:
        RESULTS / "logs/cache_pixels/{size}/{folder}.log",
    benchmark:
        RESULTS / "benchmarks/cache_pixels/{size}/{folder}.tsv"
    threads: 2
    resources:
        mem_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.cache_pixels \
            --images {input.images:q} \
            --root {params.root:q} \
            --folder {wildcards.folder:q} \
            --size {wildcards.size:q} \
            --resampling {params.resampling:q} \
            --workers {threads:q} \
            --store {params.store:q} \
            --pixels {output.pixels:q} 2>&1 | tee {log:q}
        """
