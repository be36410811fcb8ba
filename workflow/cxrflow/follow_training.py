"""Show how a training goes while it trains: learning curves as a picture, drawn anew, and TensorBoard's event files.

A process of its own beside the training, which starts it: its code is no part of the training's code, and may change while
one is under way. It ends when its standard input does.
"""

import os
import select
import signal
import sys
from pathlib import Path

import pandas as pd

from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.files import whole_file

# Trainings that are shorter have nothing to follow; drawing costs half a second of one core.
SECONDS = 20.0
CURVES = ("loss", "accuracy")


def draw_picture(history: pd.DataFrame, picture: Path) -> None:
    """Draw the learning curves so far as a PNG."""
    # Loaded when there is something to draw: a short training is over before that.
    from cxrflow.plot_curves import curves_figure
    from cxrflow.plotting.style import styled

    with whole_file(picture) as part, styled():
        curves_figure(history).savefig(part, dpi=100)


def write_events(history: pd.DataFrame, folder: Path, known: int) -> None:
    """Write event files, readable by TensorBoard, of the epochs behind the first `known` ones.

    Curves of training and validation lie in folders of these names, as TensorBoard lays them over each other.
    """
    import tensorflow as tf

    # What TensorBoard's own `summary.scalar` writes; TensorFlow comes without that package.
    scalar = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_SCALAR")
    scalar.plugin_data.plugin_name = "scalars"
    for subset, prefix in (("training", ""), ("validation", "val_")):
        writer = tf.summary.create_file_writer(str(folder / subset))
        with writer.as_default():
            for row in history.iloc[known:].to_dict("records"):
                for curve in CURVES:
                    tf.summary.write(curve, row[f"{prefix}{curve}"], step=int(row["epoch"]), metadata=scalar)
        writer.close()


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--history", type=Path, required=True, help="history so far (CSV), replaced as it grows")
    parser.add_argument("--picture", type=Path, help="learning curves to draw (PNG)")
    parser.add_argument("--tensorboard", type=Path, help="folder of event files to write")
    args = parser.parse_args()
    os.nice(10)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training, which then ends this
    if args.tensorboard:
        for old in args.tensorboard.glob("*/events.out.tfevents.*"):
            old.unlink()  # of an earlier process: what they hold is in the history, and is written again
    shown = 0
    over = False
    while not over:
        over = bool(select.select([sys.stdin], [], [], SECONDS)[0])
        if not args.history.is_file():
            continue
        history = pd.read_csv(args.history)
        if len(history) == shown:
            continue
        if args.tensorboard:
            write_events(history, args.tensorboard, shown)
        if args.picture and not (over and shown == 0):
            draw_picture(history, args.picture)
        shown = len(history)


if __name__ == "__main__":
    run_stage(main)
