"""Read and write the augmentation manifest: Parquet with one row group per epoch, so that each epoch can be read separately."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cxrflow.io.errors import UserError
from cxrflow.io.files import whole_file


def write_manifest(path: Path, epochs: Iterable[pd.DataFrame]) -> int:
    """Write a manifest epoch by epoch; memory holds one epoch at a time.

    Args:
        path: file to write (Parquet).
        epochs: rows of each epoch, of both subsets; columns as in `cxrflow.augmentation.draw.draw_epoch`.

    Returns:
        The number of rows written.

    Raises:
        UserError: there is no epoch.
    """
    remaining = iter(epochs)
    first = next(remaining, None)
    if first is None:
        raise UserError(f"{path}: a manifest needs at least one epoch")
    schema = pa.Schema.from_pandas(first, preserve_index=False)
    written = 0
    with whole_file(path) as part, pq.ParquetWriter(part, schema) as writer:
        for rows in chain([first], remaining):
            table = pa.Table.from_pandas(rows, schema, preserve_index=False)
            # Explicit, because the default would split an epoch of more than a million rows.
            writer.write_table(table, row_group_size=len(table))
            written += len(table)
    return written


def read_epoch(manifest: Path, epoch: int) -> pd.DataFrame:
    """Read the rows of one epoch, of both subsets, without reading the other epochs.

    Raises:
        UserError: the file is not a manifest, or does not contain the epoch.
    """
    with _open(manifest) as file:
        epochs = _epoch_of_each_group(manifest, file)
        if epoch not in epochs:
            raise UserError(f"{manifest}: has no epoch {epoch}; it has the epochs {epochs[0]} to {epochs[-1]}")
        return file.read_row_group(epochs.index(epoch)).to_pandas()


def epochs_of(manifest: Path) -> list[int]:
    """List the epochs of a manifest, in order.

    Raises:
        UserError: the file is not a manifest.
    """
    with _open(manifest) as file:
        return _epoch_of_each_group(manifest, file)


def _open(manifest: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(manifest)
    except pa.ArrowInvalid:
        raise UserError(f"{manifest}: is not a Parquet file; delete it and run the same command again") from None


def _epoch_of_each_group(manifest: Path, file: pq.ParquetFile) -> list[int]:
    """Read the epoch of each row group from the statistics in the file's footer."""
    column = file.schema_arrow.get_field_index("epoch")
    if column < 0 or file.num_row_groups == 0:
        raise UserError(f"{manifest}: has no epochs, so is not a manifest; delete it and run the same command again")
    found = [file.metadata.row_group(group).column(column).statistics for group in range(file.num_row_groups)]
    if any(each is None or each.min != each.max for each in found):
        raise UserError(
            f"{manifest}: not a manifest that cxrflow can read (a row group has several epochs); delete it and run the same "
            "command again"
        )
    return [each.min for each in found]
