"""The base of everything in a config that has keys."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Base of all config models: unknown keys are faults, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)
