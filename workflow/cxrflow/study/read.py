"""Read a config: from raw keys and values to the typed config, or to messages on all its errors together."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from cxrflow.io.errors import UserError, raise_all
from cxrflow.study.checks import problems_between_keys
from cxrflow.study.error_messages import message_of, place_in_config
from cxrflow.study.merging import PARTIAL_KEYS, SECTIONS, merged_experiments
from cxrflow.study.models import Config


def read_config(raw: Mapping[str, Any], problems: Sequence[str] = ()) -> Config:
    """Check a raw config and fill in its defaults.

    Args:
        raw: keys and values, with those of the study.
        problems: messages on the files that it was read from, to be reported together with those found here.

    Raises:
        UserError: a message for each error, with the key, the value, what is allowed, and the nearest allowed name.
    """
    try:
        config = _checked(raw)
    except UserError as error:
        raise UserError([*problems, *error.messages]) from None
    raise_all(list(problems))
    return config


def _checked(raw: Mapping[str, Any]) -> Config:
    for key in (*PARTIAL_KEYS, *SECTIONS):
        if not isinstance(raw.get(key, {}), Mapping):
            raise UserError(f"{key}: {raw[key]!r} is not allowed; allowed: a mapping of keys to values")
    try:
        config = Config.model_validate(merged_experiments(raw))
    except ValidationError as error:
        messages = [message_of(raw, one) for one in error.errors()]
    else:
        messages = [f"{place_in_config(raw, path)}: {why}" for path, why in problems_between_keys(config)]
    # One line of a config may cause the same error in several experiments.
    raise_all(list(dict.fromkeys(messages)))
    return config
