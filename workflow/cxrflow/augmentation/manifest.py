"""The augmentation manifest as a file: Parquet, one row group an epoch, so that an epoch is written and read alone."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cxrflow.stage.faults import Fault
from cxrflow.stage.files import whole_file


def write_manifest(path: Path, epochs: Iterable[pd.DataFrame]) -> int:
    """Write epochs as they come; no more than one of them is held in memory.

    Args:
        path: file to write (Parquet).
        epochs: the rows of one epoch each, of both subsets; columns as in `cxrflow.augmentation.draw.draw_epoch`.

    Returns:
        The number of rows written.

    Raises:
        Fault: there is no epoch.
    """
    coming = iter(epochs)
    first = next(coming, None)
    if first is None:
        raise Fault(f"{path}: a manifest needs at least one epoch")
    schema = pa.Schema.from_pandas(first, preserve_index=False)
    written = 0
    with whole_file(path) as part, pq.ParquetWriter(part, schema) as writer:
        for rows in chain([first], coming):
            table = pa.Table.from_pandas(rows, schema, preserve_index=False)
            # Said aloud, since an epoch of more than a million rows would be cut by default.
            writer.write_table(table, row_group_size=len(table))
            written += len(table)
    return written


def read_epoch(manifest: Path, epoch: int) -> pd.DataFrame:
    """The rows of one epoch, of both subsets; nothing else of the file is read but its footer.

    Raises:
        Fault: the file is no manifest, or has no such epoch.
    """
    with _open(manifest) as file:
        epochs = _epoch_of_each_group(manifest, file)
        if epoch not in epochs:
            raise Fault(f"{manifest}: has no epoch {epoch}; its epochs are {epochs[0]} to {epochs[-1]}")
        return file.read_row_group(epochs.index(epoch)).to_pandas()


def epochs_of(manifest: Path) -> list[int]:
    """The epochs that a manifest has, in their order; only its footer is read.

    Raises:
        Fault: the file is no manifest.
    """
    with _open(manifest) as file:
        return _epoch_of_each_group(manifest, file)


def _open(manifest: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(manifest)
    except pa.ArrowInvalid:
        raise Fault(f"{manifest}: is no Parquet file; plan_augmentation writes one") from None


def _epoch_of_each_group(manifest: Path, file: pq.ParquetFile) -> list[int]:
    """The epoch of each row group, by the statistics in the file's footer."""
    column = file.schema_arrow.get_field_index("epoch")
    if column < 0 or file.num_row_groups == 0:
        raise Fault(f"{manifest}: has no epochs; plan_augmentation writes a manifest")
    found = [file.metadata.row_group(group).column(column).statistics for group in range(file.num_row_groups)]
    if any(each is None or each.min != each.max for each in found):
        raise Fault(f"{manifest}: has row groups of several epochs; delete it, and plan_augmentation writes it anew")
    return [each.min for each in found]
