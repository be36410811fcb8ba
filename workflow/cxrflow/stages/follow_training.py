"""Show the progress of a running training: learning curves as a picture, and TensorBoard event files.

The training starts this as a separate process, so its code is not part of the training's code and may change during a training.
It ends when its standard input is closed.
"""

import os
import select
import signal
import sys
from pathlib import Path

import pandas as pd

from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.files import whole_file

SECONDS = 20.0  # between two drawings; each takes half a second of one core
CURVES = ("loss", "accuracy")


def draw_picture(history: pd.DataFrame, picture: Path) -> None:
    """Draw the learning curves so far as a PNG."""
    # Imported late: a short training ends before there is anything to draw.
    from cxrflow.plotting.style import styled
    from cxrflow.stages.plot_curves import curves_figure

    with whole_file(picture) as part, styled():
        curves_figure(history).savefig(part, dpi=100)


class EventFiles:
    """TensorBoard event files of one training: one file per subset, which gets each epoch once.

    Training and validation have separate folders, so that TensorBoard shows their curves in one plot.

    Args:
        folder: where they are made; those of an earlier process are deleted, since each epoch is written again.
    """

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        for old in folder.glob("*/events.out.tfevents.*"):
            old.unlink()
        self._writers = {
            prefix: tf.summary.create_file_writer(str(folder / subset))
            for subset, prefix in (("training", ""), ("validation", "val_"))
        }
        self._epochs = 0

    def write(self, history: pd.DataFrame) -> None:
        """Write the epochs of a history that are not written yet."""
        import tensorflow as tf

        # As in TensorBoard's `summary.scalar`, which is not part of TensorFlow.
        scalar = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_SCALAR")
        scalar.plugin_data.plugin_name = "scalars"
        for prefix, writer in self._writers.items():
            with writer.as_default():
                for row in history.iloc[self._epochs :].to_dict("records"):
                    for curve in CURVES:
                        tf.summary.write(curve, row[f"{prefix}{curve}"], step=int(row["epoch"]), metadata=scalar)
            writer.flush()
        self._epochs = len(history)


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--history", type=Path, required=True, help="history so far (CSV), which the training updates")
    parser.add_argument("--picture", type=Path, help="learning curves to draw (PNG)")
    parser.add_argument("--tensorboard", type=Path, help="folder of event files to write")
    args = parser.parse_args()
    os.nice(10)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C stops the training, which then ends this process
    events: EventFiles | None = None
    shown = 0
    is_over = False
    while not is_over:
        is_over = bool(select.select([sys.stdin], [], [], SECONDS)[0])
        if not args.history.is_file():
            continue
        history = pd.read_csv(args.history)
        if len(history) == shown:
            continue
        if args.tensorboard:
            events = events or EventFiles(args.tensorboard)  # TensorFlow starts beside the training's first epochs
            events.write(history)
        if args.picture and not (is_over and shown == 0):
            draw_picture(history, args.picture)
        shown = len(history)


if __name__ == "__main__":
    run_stage(main)
