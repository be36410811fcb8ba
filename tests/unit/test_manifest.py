"""The manifest as a file: it is read back as written, one epoch at a time, and never left incomplete."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from cxrflow.augmentation.draw import NUMBERS
from cxrflow.augmentation.manifest import read_epoch, write_manifest
from cxrflow.io.errors import UserError
from cxrflow.stages.plan_augmentation import plan_augmentation
from cxrflow.study.images import Augmentation

RANGES = Augmentation().model_dump(exclude={"without_effect"})
SPLIT = pd.DataFrame(
    {
        "image": [f"train/covid/{number}.png" for number in range(8)],
        "class": "covid",
        "subset": ["validation"] * 3 + ["training"] * 5,
    }
)


def epochs(count: int) -> list[pd.DataFrame]:
    return list(plan_augmentation(SPLIT, 0, count, RANGES, "study"))


def test_each_epoch_is_read_as_it_was_planned(tmp_path: Path) -> None:
    manifest = tmp_path / "epochs_4.parquet"
    assert write_manifest(manifest, epochs(4)) == 4 * 8
    for epoch, planned in enumerate(epochs(4), start=1):
        found = read_epoch(manifest, epoch)
        pd.testing.assert_frame_equal(found, planned)
        assert found["subset"].tolist() == ["training"] * 5 + ["validation"] * 3
        assert set(found["epoch"]) == {epoch}


def test_columns_and_types(tmp_path: Path) -> None:
    manifest = tmp_path / "epochs_1.parquet"
    write_manifest(manifest, epochs(1))
    schema = pq.read_schema(manifest)
    assert schema.names == ["subset", "epoch", "position", "image", *NUMBERS]
    types = {name: str(schema.field(name).type).removeprefix("large_") for name in schema.names}
    assert types == {
        **{"subset": "string", "epoch": "int32", "position": "int32", "image": "string"},
        **{name: "bool" if name.startswith("flip") else "double" for name in NUMBERS},
    }


def test_a_row_group_is_an_epoch(tmp_path: Path) -> None:
    manifest = tmp_path / "epochs_5.parquet"
    write_manifest(manifest, epochs(5))
    metadata = pq.ParquetFile(manifest).metadata
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [8] * 5


def test_an_epoch_of_more_than_a_million_rows_stays_one_row_group(tmp_path: Path) -> None:
    count = 1024 * 1024 + 1
    manifest = tmp_path / "epochs_1.parquet"
    assert write_manifest(manifest, [pd.DataFrame({"epoch": [1] * count})]) == count
    assert pq.ParquetFile(manifest).num_row_groups == 1
    assert len(read_epoch(manifest, 1)) == count


def test_nothing_of_other_epochs_is_read(tmp_path: Path) -> None:
    """Their bytes do not matter."""
    manifest = tmp_path / "epochs_3.parquet"
    write_manifest(manifest, epochs(3))
    metadata = pq.ParquetFile(manifest).metadata
    columns = [metadata.row_group(1).column(place) for place in range(metadata.num_columns)]
    begin = min(column.dictionary_page_offset or column.data_page_offset for column in columns)
    end = begin + sum(column.total_compressed_size for column in columns)
    last = metadata.row_group(2)
    length = sum(last.column(place).total_compressed_size for place in range(last.num_columns))
    data = manifest.read_bytes()
    manifest.write_bytes(b"PAR1" + bytes(begin - 4) + data[begin:end] + bytes(length) + data[end + length :])
    assert manifest.stat().st_size == len(data)
    pd.testing.assert_frame_equal(read_epoch(manifest, 2), epochs(3)[1])
    for other in (1, 3):
        with pytest.raises(OSError):
            read_epoch(manifest, other)


def test_epochs_are_taken_one_at_a_time(tmp_path: Path) -> None:
    """The next epoch is drawn after the last one was written, so none waits in memory."""
    manifest = tmp_path / "epochs_3.parquet"
    sizes = []

    def watched() -> Iterator[pd.DataFrame]:
        for rows in epochs(3):
            sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
            yield rows

    write_manifest(manifest, watched())
    assert sizes[0] == 0 < sizes[1] < sizes[2]


def test_nothing_is_left_when_an_epoch_fails(tmp_path: Path) -> None:
    def failing() -> Iterator[pd.DataFrame]:
        yield epochs(1)[0]
        raise RuntimeError("no second epoch")

    with pytest.raises(RuntimeError, match="no second epoch"):
        write_manifest(tmp_path / "epochs_2.parquet", failing())
    assert list(tmp_path.iterdir()) == []


def test_a_missing_epoch(tmp_path: Path) -> None:
    manifest = tmp_path / "epochs_4.parquet"
    write_manifest(manifest, epochs(4))
    for epoch in (0, 5):
        with pytest.raises(UserError, match=f"has no epoch {epoch}; it has the epochs 1 to 4"):
            read_epoch(manifest, epoch)


def test_files_that_are_not_manifests(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("no Parquet")
    with pytest.raises(UserError, match="is not a Parquet file"):
        read_epoch(tmp_path / "text.parquet", 1)
    SPLIT.to_parquet(tmp_path / "split.parquet")
    with pytest.raises(UserError, match="has no epochs"):
        read_epoch(tmp_path / "split.parquet", 1)
    pd.concat(epochs(2)).to_parquet(tmp_path / "one_group.parquet", index=False)
    with pytest.raises(UserError, match="a row group has several epochs"):
        read_epoch(tmp_path / "one_group.parquet", 1)


def test_no_epochs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least one epoch"):
        write_manifest(tmp_path / "epochs_0.parquet", [])
    assert list(tmp_path.iterdir()) == []
