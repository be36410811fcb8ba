"""Write the JSON Schema of config.yaml, which editors use for completion and checks.

python -m cxrflow.study.schema workflow/schemas/config.schema.json
"""

import sys
from typing import Any

from cxrflow.io.files import write_json
from cxrflow.study.merging import PARTIAL_KEYS
from cxrflow.study.models import Config


def config_schema() -> dict[str, Any]:
    """Make the JSON Schema (draft 2020-12) of a config file as people write it.

    Unlike the typed config, a file may leave out any key, and may have the keys `experiment_defaults`, `override`, `like` and
    `data_of`.
    """
    schema = Config.model_json_schema(mode="validation")
    schema["title"] = "cxrflow config"
    experiment = schema["$defs"]["Experiment"]
    experiment.pop("required")
    experiment["properties"]["like"] = {
        "type": "string",
        "title": "Like",
        "description": "the experiment whose keys this one takes over",
    }
    for key in PARTIAL_KEYS:
        schema["properties"][key] = {"$ref": "#/$defs/Experiment"}
    schema["properties"]["seeds"].pop("default", None)
    for place in (schema["properties"]["seeds"], experiment["properties"]["seeds"]):
        _also_a_number(place)
    schema["properties"]["only"] = {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}],
        "default": None,
    }
    for key in ("image_sources", "weights_sources"):
        source = schema["properties"][key]
        source["anyOf"] = [
            {"type": "string"},
            {name: source.pop(name) for name in ("type", "items", "minItems") if name in source},
        ]
    schema["properties"]["data_of"] = {"type": "string", "description": "another study whose data set this one uses"}
    # An overlay may hold any part of the config.
    schema.pop("required", None)
    return schema


def _also_a_number(place: dict[str, Any]) -> None:
    branches = place.pop("anyOf", None) or [{key: place.pop(key) for key in list(place) if key != "title"}]
    place["anyOf"] = [{"type": "integer", "minimum": 1}, *branches]


if __name__ == "__main__":
    write_json(sys.argv[1], config_schema())
