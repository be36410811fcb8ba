"""The audits of a data set, by the names that the config key `audits` has for them.

`method` is not among them: the report makes it, from the results (`cxrflow.report.method`).
"""

from collections.abc import Callable, Mapping

from cxrflow.audits.confounders import audit_confounders
from cxrflow.audits.duplicates import audit_duplicates
from cxrflow.audits.findings import Audited, DataSet
from cxrflow.audits.labels import audit_labels
from cxrflow.audits.look_alikes import audit_look_alikes
from cxrflow.audits.patients import audit_patients
from cxrflow.audits.quality import audit_quality
from cxrflow.audits.rivals import audit_rivals

AUDITS: dict[str, Callable[[DataSet], Audited]] = {
    "patients": audit_patients,
    "duplicates": audit_duplicates,
    "look_alikes": audit_look_alikes,
    "confounders": audit_confounders,
    "rivals": audit_rivals,
    "quality": audit_quality,
    "labels": audit_labels,
}
"""`cxrflow.study.images.Audits` describes each and has its switch."""


def names_of_audits(levels: Mapping[str, str]) -> list[str]:
    """List the audits of the data that are on.

    Args:
        levels: audit to its level (fail, warn or off), also of audits that need results, which are left out.
    """
    return [name for name in AUDITS if levels[name] != "off"]
