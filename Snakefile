workflow.include("workflow/Snakefile", overwrite_default_target=True)  # `include:` would lose the default target
