# What can be done from here; `make` lists it. Needs Python 3.11 to 3.13, make, and a package index that pip reaches.
# Each target first sets up what it needs: the packages of envs/*.lock, by version and hash, in .venv.

# Variables, `make study DATA=/data/covid_cxr CORES=8`:
#   DATA=FOLDER     ## images, train/<class>/ and test/<class>/  (default: $CXRFLOW_STUDY_DATA, or they are fetched)
#   WEIGHTS=FOLDER  ## initial weights of the backbones  (default: $CXRFLOW_WEIGHTS, or they are fetched)
#   ONLY=NAMES      ## these experiments or extras alone: ONLY='binary_inception_v3 multiclass_mobilenet'
#   CONFIG=VALUES   ## further values for snakemake --config: CONFIG="seeds=5 override='{epochs: 2}'"
#   FLAGS=FLAGS     ## further flags for snakemake: FLAGS='--configfile my_xrays.yaml'
#   CORES=N         ## cores to use (default: all)
#   GPU=1           ## demo, study, extras, dry-run, doctor: TensorFlow's CUDA build, in .venv-gpu
#   SLURM=1         ## study, extras, dry-run, doctor: on a Slurm cluster, docs/cluster.md
#   PYTHON=PROGRAM  ## the Python to make the environment with (default: python3)

SHELL = /bin/sh
.DEFAULT_GOAL = help
.NOTPARALLEL:
.PHONY: help demo study extras dry-run why rebuild-outdated verify doctor test test-slow test-all lint format schema lock \
	clean clean-states environment environment-dev data-there no-flags

CORES = all
CONFIG =
FLAGS =
GPU =
SLURM =
PYTHON =
KIND = $(if $(filter-out 0 no,$(GPU)),gpu,cpu)
VENV = $(if $(filter gpu,$(KIND)),.venv-gpu,.venv)
RULES = Snakefile $(wildcard workflow/rules/*.smk)

# As the user wrote them: not expanded by make once more, and handed to the recipes through the environment.
export STUDY_IMAGES := $(or $(value DATA),$(value CXRFLOW_STUDY_DATA))
export STUDY_WEIGHTS := $(or $(value WEIGHTS),$(value CXRFLOW_WEIGHTS))
export STUDY_ONLY := $(value ONLY)
unexport DATA WEIGHTS ONLY

set_up = @PYTHON='$(PYTHON)' sh envs/set_up.sh $(1) '$(2)' $(firstword $(MAKECMDGOALS))
# Programs run as `python -m …` with the environment in front, since scripts in its bin/ do not outlive a moved folder.
use = PATH="$$(cd './$(1)/bin' && pwd):$$PATH";
# Tests run side by side: a worker each core, four at most, since each takes 1 GB. Alone, `pytest FILE` starts no workers.
workers = -n $(or $(patsubst 1,0,$(filter-out all,$(CORES))),logical --maxprocesses 4) --dist loadfile
# One check of `make test`, with its time.
check = @$(call use,.venv) begin=$$(date +%s); echo '$(1)'; python -m $(1) && echo "  $$(($$(date +%s) - begin)) s"

# The study's values as arguments of --config: YAML strings, with blanks around them that keep Snakemake from stripping
# the quotes.
quoted = '$$(printf %s "$$$(1)" | sed "s/'/''/g")'
quoted_list = ['$$(printf %s "$$$(1)" | sed "s/'/''/g; s/^[ ,]*//; s/[ ,]*\$$//; s/[ ,][ ,]*/', '/g")']
values = set --; \
	if [ -n "$$STUDY_IMAGES" ]; then set -- "$$@" "images= $(call quoted,STUDY_IMAGES) "; fi; \
	if [ -n "$$STUDY_WEIGHTS" ]; then set -- "$$@" "weights= $(call quoted,STUDY_WEIGHTS) "; fi; \
	if [ -n "$$STUDY_ONLY" ]; then set -- "$$@" "only= $(call quoted_list,STUDY_ONLY) "; fi; \
	if [ -n "$(1)$(CONFIG_GIVEN)" ]; then set -- "$$@" $(1) $(CONFIG); fi; \
	if [ $$\# -gt 0 ]; then set -- $(2) "$$@"; fi;
CONFIG_GIVEN = $(if $(strip $(CONFIG)),yes)
where = $(if $(filter-out 0 no,$(SLURM)),--workflow-profile profiles/slurm,--cores $(CORES))
snakemake = $(call use,$(VENV)) $(call values,$(1),--config) python -m snakemake $(where) $(FLAGS) "$$@"
# Where the report lies, by the name in a config file (not where the name may come from elsewhere).
report = @name=$$(sed -n 's/^name: *\([A-Za-z0-9_+.-]*\).*/\1/p' $(1)); \
	$(if $(findstring name=,$(CONFIG))$(findstring --,$(FLAGS)),:,echo "report: results/$$name/report/index.html")

help: ## this list
	@echo 'make TARGET [VARIABLE=value …]'; echo
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)/  \1~\2/p' Makefile | awk -F'~' '{ printf "%-16s %s\n", $$1, $$2 }'; echo
	@sed -n 's/^#   \([A-Z]*=[A-Z1]*\) *## /  \1~/p' Makefile | awk -F'~' '{ printf "%-17s %s\n", $$1, $$2 }'

demo: environment ## the whole flow on drawn phantoms, in minutes: no data, no downloads; prints where the report lies
	@$(call use,$(VENV)) python -m snakemake --configfile examples/demo.yaml --cores $(CORES) $(FLAGS) \
		$(if $(CONFIG_GIVEN),--config $(CONFIG))
	$(call report,examples/demo.yaml)

study: data-there environment ## the study; fetches its images and weights, or DATA=FOLDER WEIGHTS=FOLDER [ONLY=NAMES]
	@$(call snakemake)
	$(call report,config.yaml)

extras: data-there environment ## the study and all its extras (VGG16, the searches …), or ONLY=NAMES of them
	@$(call snakemake,with_extras=True)
	$(call report,config.yaml)

dry-run: data-there environment ## the jobs that make study would run, and why; runs none
	@$(call snakemake) --dry-run

why: data-there environment ## what make study would compute and what it would only look at, and why, one line a job; runs none
	@$(call use,$(VENV)) $(call values,,--config) python -m cxrflow.explain_plan --cores $(CORES) $(FLAGS) "$$@"

verify: environment ## make the scorecard again from the published results of the study, docs/study, and compare
	@$(call use,$(VENV)) python -m cxrflow.verify_results --folder docs/study --claims workflow/resources/claims.csv

rebuild-outdated: data-there environment ## make study, but what was made with other package versions is made again, and what follows
	@$(call use,$(VENV)) $(call values,,--config) python -m cxrflow.rebuild_outdated $(where) $(FLAGS) "$$@"

doctor: no-flags environment ## is this machine fit: packages, GPU, disk, memory, images, weights, and how long it would take
	@$(call use,$(VENV)) $(call values,,--set) python -m cxrflow.doctor --config config.yaml --lock envs/$(KIND).lock \
		$(if $(filter-out 0 no,$(SLURM)),--slurm) "$$@"

test: lint ## all checks of lint, and the tests that take seconds
	$(call check,pytest $(workers) -m "not slow")

test-slow: environment-dev ## the tests that take minutes
	$(call check,pytest $(workers) -m slow --ignore tests/slurm)

test-all: test test-slow ## all tests

lint: environment-dev ## style, types, formats and Snakemake's own lint
	$(call check,ruff check)
	$(call check,ruff format --check)
	$(call check,mypy)
	$(call check,snakefmt --check $(RULES))
	$(call check,snakemake --lint --configfile examples/demo.yaml)

format: environment-dev ## write Python and rules in the project's format
	@$(call use,.venv) python -m ruff check --fix; python -m ruff format; python -m snakefmt $(RULES)

schema: environment-dev ## write workflow/schemas/config.schema.json from the typed config
	@$(call use,.venv) python -m cxrflow.config.schema workflow/schemas/config.schema.json

lock: ## resolve envs/*.in into envs/*.lock and *.yaml (needs uv; UPGRADE=1 takes the newest versions)
	@$(or $(PYTHON),python3) envs/lock.py $(if $(UPGRADE),--upgrade)

clean: ## delete the demo's results and what tools cache; not .venv, not other results, not Snakemake's records
	@for path in results/demo .pytest_cache .hypothesis .mypy_cache .ruff_cache; do \
		if [ -e $$path ]; then echo "deleting $$path"; rm -rf $$path; fi; \
	done
	@echo 'deleting __pycache__ in workflow, tests and envs'
	@find workflow tests envs -name __pycache__ -type d -prune -exec rm -rf {} +

clean-states: environment ## delete the states of finished and stopped trainings (results/states), and say how large they were
	@$(call use,$(VENV)) python -m cxrflow.clean_states --states results/states

environment:
	$(call set_up,$(KIND),$(VENV))

environment-dev:
	$(call set_up,dev,.venv)

no-flags:
	@if [ -n '$(FLAGS)' ]; then \
		echo 'error: make doctor takes no FLAGS; for an overlay: python -m cxrflow.doctor --config config.yaml OVERLAY' >&2; \
		exit 2; \
	fi

data-there:
	@$(if $(findstring images=,$(CONFIG))$(findstring phantoms=,$(CONFIG))$(findstring --configfile,$(FLAGS)),exit 0;) \
	if [ -n "$$STUDY_IMAGES" ] && [ ! -d "$$STUDY_IMAGES" ]; then \
		printf 'error: DATA: there is no folder %s\n' "$$STUDY_IMAGES" >&2; exit 2; \
	fi
