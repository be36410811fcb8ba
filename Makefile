# Targets for common tasks; `make` lists them. Needs Python 3.11 to 3.13, make, and a package index that pip can reach.
# Each target first installs what it needs into .venv: the packages of envs/*.lock, by version and hash.

# Variables, `make study DATA=/data/covid_cxr CORES=8`:
#   STUDY=NAME      ## a folder in studies/, or the path of one, ./my_study  (default: the study of config.yaml)
#   DATA=FOLDER     ## images, train/<class>/ and test/<class>/  (default: $CXRFLOW_STUDY_DATA, or they are fetched)
#   WEIGHTS=FOLDER  ## initial weights of the backbones  (default: $CXRFLOW_WEIGHTS, or they are fetched)
#   ONLY=NAMES      ## only these experiments or extras: ONLY='binary_inception_v3 multiclass_mobilenet'
#   CONFIG=VALUES   ## further values for snakemake --config: CONFIG="seeds=5 override='{epochs: 2}'"
#   FLAGS=FLAGS     ## further flags for snakemake: FLAGS='--configfile my_run.yaml'
#   CORES=N         ## cores to use (default: all)
#   GPU=1           ## demo, study, extras, dry-run, doctor: TensorFlow's CUDA build, in .venv-gpu
#   SLURM=1         ## study, extras, dry-run, doctor: on a Slurm cluster, docs/how-to/run_on_slurm.md
#   PYTHON=PROGRAM  ## the Python to create the environment with (default: python3)

SHELL = /bin/sh
.DEFAULT_GOAL = help
.NOTPARALLEL:
.PHONY: help demo study extras dry-run why verify doctor test test-slow test-all lint format schema docs lock \
	clean clean-checkpoints environment environment-dev

CORES = all
CONFIG =
FLAGS =
GPU =
SLURM =
PYTHON =
KNOWN = STUDY DATA WEIGHTS ONLY CONFIG FLAGS CORES GPU SLURM PYTHON UPGRADE
given = $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
ifneq ($(filter-out $(KNOWN),$(given)),)
$(error unknown variable $(filter-out $(KNOWN),$(given)); allowed: $(KNOWN))
endif
KIND = $(if $(filter-out 0 no,$(GPU)),gpu,cpu)
VENV = $(if $(filter gpu,$(KIND)),.venv-gpu,.venv)
RULES = Snakefile workflow/Snakefile $(wildcard workflow/rules/*.smk)

# Exactly as written: make does not expand these values, and recipes get them through the environment.
export RUN_STUDY := $(value STUDY)
export RUN_DATA := $(or $(value DATA),$(value CXRFLOW_STUDY_DATA))
export RUN_WEIGHTS := $(or $(value WEIGHTS),$(value CXRFLOW_WEIGHTS))
export RUN_ONLY := $(value ONLY)
export RUN_CONFIG := $(value CONFIG)
export RUN_FLAGS := $(value FLAGS)
unexport STUDY DATA WEIGHTS ONLY CONFIG FLAGS

set_up = @PYTHON='$(PYTHON)' sh envs/set_up.sh $(1) '$(2)' $(firstword $(MAKECMDGOALS))
# Programs are run as `python -m …`, since scripts in an environment's bin/ break when the folder is moved.
python = ./$(VENV)/bin/python
cxrflow_run = $(python) -m cxrflow.run.start --config-text="$(1)$$RUN_CONFIG" --flags="$$RUN_FLAGS" --cores $(CORES)
study_run = $(call cxrflow_run) --study="$$RUN_STUDY" --data="$$RUN_DATA" --weights="$$RUN_WEIGHTS" --only="$$RUN_ONLY" \
	$(if $(filter-out 0 no,$(SLURM)),--slurm)
# Tests run in parallel: one worker per core, at most four, since each takes 1 GB. `pytest FILE` starts no workers.
workers = -n $(or $(patsubst 1,0,$(filter-out all,$(CORES))),logical --maxprocesses 4) --dist loadfile
# One check of `make test`, with its time: a module, or a name and a line of Python.
check = @begin=$$(date +%s); echo '$(1)'; \
	./.venv/bin/python $(if $(2),-c '$(2)',-m $(1)) && echo "  $$(($$(date +%s) - begin)) s"

help: ## this list
	@echo 'make TARGET [VARIABLE=value …]'; echo
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)/  \1~\2/p' Makefile | awk -F'~' '{ printf "%-16s %s\n", $$1, $$2 }'; echo
	@sed -n 's/^#   \([A-Z]*=[A-Z1]*\) *## /  \1~/p' Makefile | awk -F'~' '{ printf "%-17s %s\n", $$1, $$2 }'

demo: environment ## the whole flow on drawn phantoms, in minutes: no data, no downloads; prints where the report is
	@$(call cxrflow_run,study=demo ) --data= --weights=

study: environment ## run a study; fetches its images and weights, or DATA=FOLDER WEIGHTS=FOLDER [ONLY=NAMES]
	@$(study_run)

extras: environment ## the study and all its extras (VGG16, the searches …), or ONLY=NAMES of them
	@$(study_run) --extras

dry-run: environment ## the jobs that make study would run, and why; runs none
	@$(study_run) --dry-run

why: environment ## what make study would compute and reuse, and why, one line per job; runs none
	@$(study_run) --why

verify: environment ## judge the published results of studies/sha_2021 again and compare the verdicts
	@$(python) -m cxrflow.publication.verify_results --folder studies/sha_2021/results/full_run --claims studies/sha_2021/claims.csv

doctor: environment ## check this machine: packages, GPU, disk, memory, images, weights; estimate the time
	@$(study_run) --doctor --lock envs/$(KIND).lock

test: lint ## all checks of lint, and the tests that take seconds
	$(call check,pytest $(workers) -m "not slow")

test-slow: environment-dev ## the tests that take minutes
	$(call check,pytest $(workers) -m "slow and not long" --ignore tests/slurm)

test-all: test ## all tests, also slow ones that vary what others test: more than an hour
	$(call check,pytest $(workers) -m slow --ignore tests/slurm)

lint: environment-dev ## style, types, formats and Snakemake's own lint
	$(call check,ruff check)
	$(call check,ruff format --check)
	$(call check,mypy)
	$(call check,lint-imports,import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports()))
	$(call check,snakefmt --check $(RULES))
	$(call check,snakemake --lint --config study=demo)

format: environment-dev ## write Python and rules in the project's format
	@python=./.venv/bin/python; $$python -m ruff check --fix; $$python -m ruff format; $$python -m snakefmt $(RULES)

schema: environment-dev ## write workflow/schemas/config.schema.json from the typed config
	@./.venv/bin/python -m cxrflow.study.schema workflow/schemas/config.schema.json

docs: environment-dev ## write the generated pages of docs/reference: config keys, stages, commands, measures
	@./.venv/bin/python -m cxrflow.reference docs/reference

lock: ## resolve envs/*.in into envs/*.lock and *.yaml (needs uv; UPGRADE=1 takes the newest versions)
	@$(or $(PYTHON),python3) envs/lock.py $(if $(UPGRADE),--upgrade)

clean: ## delete the demo's results and the caches of tools; not .venv, other results or Snakemake's records
	@for path in results/demo .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache; do \
		if [ -e $$path ]; then echo "deleting $$path"; rm -rf $$path; fi; \
	done
	@echo 'deleting __pycache__ in workflow, tests and envs'
	@find workflow tests envs -name __pycache__ -type d -prune -exec rm -rf {} +

clean-checkpoints: environment ## delete the checkpoints of finished and stopped trainings (results/checkpoints), and report their size
	@$(python) -m cxrflow.training.clean_checkpoints --checkpoints results/checkpoints

environment:
	$(call set_up,$(KIND),$(VENV))

environment-dev:
	$(call set_up,dev,.venv)
