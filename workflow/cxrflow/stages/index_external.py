"""List the images of an external test with their contents' hashes, and decode each of them once.

They are in a folder with <class>/ (or train/<class>/, test/<class>/ and the like), or in a CSV with the columns path (relative
to the CSV) and label, and optionally patient and hashes. Images of other classes are listed, but not read.
"""

from pathlib import Path

import pandas as pd

from cxrflow.images.external import list_external, read_external
from cxrflow.io.command import run_stage
from cxrflow.io.errors import UserError, one_line
from cxrflow.io.words import some_of
from cxrflow.stages.index_images import index_listed, index_parser, print_counts, write_index


def main() -> None:
    parser = index_parser(__doc__)
    parser.add_argument("--external", type=Path, required=True, help="folder or CSV of the external test")
    args = parser.parse_args()
    external = read_external(args.external)
    stamps = external.stamps
    for remark in external.remarks:
        print(f"note: {one_line(remark)}")
    listed = list_external(args.external, external, args.classes)
    try:
        index = index_listed(args, external.root, listed, external.is_list)
    except UserError as error:
        place = f"external: {args.external}: " if external.is_list else "external: "
        raise UserError(
            [
                f"{place if one.startswith('image list: ') else 'external: '}{one.removeprefix('image list: ')}"
                for one in error.messages
            ]
        ) from None
    print_counts(index)
    others = external.others(args.classes)
    if len(others):
        counts = some_of((f"{name} {count}" for name, count in others["class"].value_counts().items()), 8)
        print(f"note: {len(others)} images of other classes are left out: {one_line(counts)}")
    write_index(args, external.root, pd.concat([index, others.assign(status="other class")]), stamps)


if __name__ == "__main__":
    run_stage(main)
