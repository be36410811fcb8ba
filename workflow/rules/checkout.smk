# cxrflow's own files are in the folder of this checkout. If Snakemake reads the rules from a hosting provider, as after
# `snakedeploy`, the files in the version of the rules are unpacked below the working directory.
import io
import os
import tarfile

source = workflow.current_basedir

if source.is_local:
    PROJECT = Path(str(source)).parents[1]
else:
    repository = source.hosted_repo.repo
    PROJECT = Path(".snakemake/cxrflow", repository.commit(source.ref).hexsha)
    if not PROJECT.is_dir():
        part = PROJECT.with_name(f"{PROJECT.name}.{os.getpid()}")
        archive = repository.git.archive(source.ref, stdout_as_string=False)
        tarfile.open(fileobj=io.BytesIO(archive)).extractall(part, filter="data")
        part.rename(PROJECT)

# Relative, so that inputs and params stay the same if the checkout is moved.
PROJECT = Path(os.path.relpath(PROJECT))
sys.path.insert(0, str((PROJECT / "workflow").resolve()))
