"""SummaryWriter: what programs write for TensorBoard with."""

from __future__ import annotations

import datetime
import os
import socket
from collections.abc import Sequence
from typing import Any

from mashal.errors import message
from mashal.utils.tensorboard import images, summary
from mashal.utils.tensorboard.graph import graph_of
from mashal.utils.tensorboard.records import FileWriter

__all__ = ["FileWriter", "SummaryWriter"]


class SummaryWriter:
    """Writes scalars, histograms, images … of a run into a folder that `tensorboard --logdir` shows.

    log_dir: by default runs/ with the time and the machine's name. Every add_… takes a tag, what to write, and the global_step.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
    ...     writer.add_scalar("loss", 0.5, 1)
    """

    def __init__(self, log_dir: Any = None, comment: str = "", purge_step: int | None = None, max_queue: int = 10, flush_secs: float = 120,
                 filename_suffix: str = ""):  # fmt: skip
        if not log_dir:
            now = datetime.datetime.now().strftime("%b%d_%H-%M-%S")
            log_dir = os.path.join("runs", f"{now}_{socket.gethostname()}{comment}")
        self.log_dir, self.purge_step = str(log_dir), purge_step
        self._options: tuple[Any, ...] = (max_queue, flush_secs, filename_suffix)
        self.file_writer: FileWriter | None = FileWriter(self.log_dir, *self._options)
        self.all_writers: dict[str, FileWriter] | None = {self.log_dir: self.file_writer}

    def _get_file_writer(self) -> FileWriter:
        if self.file_writer is None or self.all_writers is None:
            self.file_writer = FileWriter(self.log_dir, *self._options)
            self.all_writers = {self.log_dir: self.file_writer}
        return self.file_writer

    def _add(self, made: bytes, step: int | None, walltime: float | None) -> None:
        self._get_file_writer().add_summary(made, step, walltime)

    def get_logdir(self) -> str:
        """The folder that is written to."""
        return self.log_dir

    def flush(self) -> None:
        """Makes sure that what was written can be read."""
        for writer in (self.all_writers or {}).values():
            writer.flush()

    def close(self) -> None:
        """Closes the files; a later add_… begins new ones."""
        for writer in (self.all_writers or {}).values():
            writer.close()
        self.file_writer = self.all_writers = None

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    # ---------------------------------------------------------------- numbers
    def add_scalar(self, tag: str, scalar_value: Any, global_step: int | None = None, walltime: float | None = None,
                   new_style: bool = False, double_precision: bool = False) -> None:  # fmt: skip
        """Writes a number."""
        self._add(summary.scalar(tag, scalar_value, new_style, double_precision), global_step, walltime)

    def add_scalars(self, main_tag: str, tag_scalar_dict: dict[str, Any], global_step: int | None = None,
                    walltime: float | None = None) -> None:  # fmt: skip
        """Writes several numbers that share a chart, each as a run of its own."""
        self._get_file_writer()
        assert self.all_writers is not None
        for tag, value in tag_scalar_dict.items():
            folder = os.path.join(self.log_dir, f"{main_tag.replace('/', '_')}_{tag}")
            if folder not in self.all_writers:
                self.all_writers[folder] = FileWriter(folder, *self._options)
            self.all_writers[folder].add_summary(summary.scalar(main_tag, value), global_step, walltime)

    def add_tensor(self, tag: str, tensor: Any, global_step: int | None = None, walltime: float | None = None) -> None:
        """Writes a tensor's numbers."""
        self._add(summary.tensor(tag, tensor), global_step, walltime)

    def add_histogram(self, tag: str, values: Any, global_step: int | None = None, bins: Any = "tensorflow",
                      walltime: float | None = None, max_bins: int | None = None) -> None:  # fmt: skip
        """Writes how values are distributed. bins: "tensorflow", or what numpy.histogram takes."""
        self._add(summary.histogram(tag, values, bins, max_bins), global_step, walltime)

    def add_histogram_raw(self, tag: str, min: float, max: float, num: float, sum: float, sum_squares: float, bucket_limits: Sequence,
                          bucket_counts: Sequence, global_step: int | None = None, walltime: float | None = None) -> None:  # fmt: skip
        """Writes a histogram that was counted elsewhere."""
        if len(bucket_limits) != len(bucket_counts):
            wrong = f"{len(bucket_limits)} limits and {len(bucket_counts)} counts"
            raise ValueError(message("add_histogram_raw", wrong, "there must be as many of each"))
        made = summary.histogram_raw(tag, min, max, num, sum, sum_squares, bucket_limits, bucket_counts)
        self._add(made, global_step, walltime)

    # ---------------------------------------------------------------- pictures, sounds, words
    def add_image(self, tag: str, img_tensor: Any, global_step: int | None = None, walltime: float | None = None,
                  dataformats: str = "CHW") -> None:  # fmt: skip
        """Writes an image: bytes, or floating numbers from 0 to 1. dataformats: a letter for each dimension."""
        self._add(summary.image(tag, images.arranged(img_tensor, dataformats)), global_step, walltime)

    def add_images(self, tag: str, img_tensor: Any, global_step: int | None = None, walltime: float | None = None,
                   dataformats: str = "NCHW") -> None:  # fmt: skip
        """Writes several images as a grid."""
        self.add_image(tag, img_tensor, global_step, walltime, dataformats)

    def add_image_with_boxes(self, tag: str, img_tensor: Any, box_tensor: Any, global_step: int | None = None,
                             walltime: float | None = None, rescale: float = 1, dataformats: str = "CHW",
                             labels: Any = None) -> None:  # fmt: skip
        """Writes an image with the outlines of boxes (left, top, right, bottom)."""
        pixels = images.boxed(images.arranged(img_tensor, dataformats), box_tensor)
        self._add(summary.image(tag, pixels), global_step, walltime)

    def add_figure(self, tag: str, figure: Any, global_step: int | None = None, close: bool = True,
                   walltime: float | None = None) -> None:  # fmt: skip
        """Writes a Matplotlib figure, or a list of them, as an image."""
        self._add(summary.image(tag, images.figure_image(figure, close)), global_step, walltime)

    def add_video(self, tag: str, vid_tensor: Any, global_step: int | None = None, fps: float = 4,
                  walltime: float | None = None) -> None:  # fmt: skip
        """Writes a video (batch, time, channels, height, width) as its frames below each other."""
        batch = images.array(vid_tensor)
        frames = batch.transpose(1, 0, 2, 3, 4)
        rows = [images.arranged(frame, "NCHW") for frame in frames]
        self._add(summary.video(tag, images.numpy.stack(rows), fps), global_step, walltime)

    def add_audio(self, tag: str, snd_tensor: Any, global_step: int | None = None, sample_rate: int = 44100,
                  walltime: float | None = None) -> None:  # fmt: skip
        """Writes a sound: samples from -1 to 1."""
        self._add(summary.audio(tag, snd_tensor, sample_rate), global_step, walltime)

    def add_text(
        self, tag: str, text_string: str, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """Writes a text; Markdown is understood."""
        self._add(summary.text(tag, text_string), global_step, walltime)

    # ---------------------------------------------------------------- models and settings
    def add_graph(
        self, model: Any, input_to_model: Any = None, verbose: bool = False, use_strict_trace: bool = True
    ) -> None:
        """Writes the operations that make a model's result of an input."""
        self._get_file_writer().add_graph(graph_of(model, input_to_model))

    def add_hparams(self, hparam_dict: dict[str, Any], metric_dict: dict[str, Any], hparam_domain_discrete: dict | None = None,
                    run_name: str | None = None, global_step: int | None = None) -> None:  # fmt: skip
        """Writes a run's settings and what they led to, in a run of its own below this one."""
        if type(hparam_dict) is not dict or type(metric_dict) is not dict:
            raise TypeError(message("add_hparams", "hparam_dict and metric_dict should be dictionary"))
        name = run_name or str(datetime.datetime.now().timestamp())
        writer = FileWriter(os.path.join(self.log_dir, name), *self._options)
        for made in summary.hparams(hparam_dict, metric_dict, hparam_domain_discrete):
            writer.add_summary(made)
        for tag, value in metric_dict.items():
            writer.add_summary(summary.scalar(tag, value), global_step)
        writer.close()

    def add_embedding(self, mat: Any, metadata: Any = None, label_img: Any = None, global_step: int | None = None, tag: str = "default",
                      metadata_header: Sequence[str] | None = None) -> None:  # fmt: skip
        """Writes points (n, size), and what each is called, for the projector."""
        points = images.array(mat)
        if points.ndim != 2:
            raise AssertionError(message("add_embedding", f"mat should be 2D, it is {points.shape}"))
        step = "00000" if global_step is None else f"{global_step:05d}"
        folder = os.path.join(self.log_dir, step, tag)
        os.makedirs(folder, exist_ok=True)
        _lines(os.path.join(folder, "tensors.tsv"), ["\t".join(str(float(x)) for x in row) for row in points])
        config = [f'tensor_name: "{tag}:{step}"', f'tensor_path: "{step}/{tag}/tensors.tsv"']
        if metadata is not None:
            rows = [
                row if isinstance(row, str) else "\t".join(map(str, row)) if metadata_header else str(row)
                for row in metadata
            ]
            _lines(
                os.path.join(folder, "metadata.tsv"),
                [*(["\t".join(metadata_header)] if metadata_header else []), *rows],
            )
            config.append(f'metadata_path: "{step}/{tag}/metadata.tsv"')
        if label_img is not None:
            pictures = images.array(label_img)
            with open(os.path.join(folder, "sprite.png"), "wb") as file:
                file.write(images.png(images.arranged(pictures, "NCHW")))
            size = f"single_image_dim: {pictures.shape[3]} single_image_dim: {pictures.shape[2]}"
            config.append(f'sprite {{ image_path: "{step}/{tag}/sprite.png" {size} }}')
        with open(os.path.join(self.log_dir, "projector_config.pbtxt"), "a", encoding="utf-8") as file:
            file.write("embeddings {\n" + "\n".join(config) + "\n}\n")

    def add_onnx_graph(self, prototxt: str) -> None:
        """Writes the text of a model file, for want of a reader of ONNX."""
        with open(prototxt, encoding="utf-8", errors="replace") as file:
            self.add_text("onnx", f"```\n{file.read()}\n```")

    # ---------------------------------------------------------------- charts
    def add_pr_curve(self, tag: str, labels: Any, predictions: Any, global_step: int | None = None, num_thresholds: int = 127,
                     weights: Any = None, walltime: float | None = None) -> None:  # fmt: skip
        """Writes precision and recall for thresholds, from labels (0 or 1) and predicted probabilities."""
        self._add(summary.pr_curve(tag, labels, predictions, num_thresholds, weights), global_step, walltime)

    def add_pr_curve_raw(self, tag: str, true_positive_counts: Any, false_positive_counts: Any, true_negative_counts: Any,
                         false_negative_counts: Any, precision: Any, recall: Any, global_step: int | None = None,
                         num_thresholds: int = 127, weights: Any = None, walltime: float | None = None) -> None:  # fmt: skip
        """Writes precision and recall that were counted elsewhere."""
        rows = (
            true_positive_counts,
            false_positive_counts,
            true_negative_counts,
            false_negative_counts,
            precision,
            recall,
        )
        self._add(summary.pr_curve_raw(tag, *rows, num_thresholds, weights), global_step, walltime)

    def add_custom_scalars(self, layout: dict) -> None:
        """Says which scalars share a chart: {category: {chart: ["Multiline" or "Margin", tags]}}."""
        self._add(summary.custom_scalars(layout), None, None)

    def add_custom_scalars_multilinechart(
        self, tags: Sequence[str], category: str = "default", title: str = "untitled"
    ) -> None:
        """Says that scalars share a chart."""
        self.add_custom_scalars({category: {title: ["Multiline", tags]}})

    def add_custom_scalars_marginchart(
        self, tags: Sequence[str], category: str = "default", title: str = "untitled"
    ) -> None:
        """Says that three scalars are a value and its bounds."""
        self.add_custom_scalars({category: {title: ["Margin", tags]}})

    def add_mesh(self, tag: str, vertices: Any, colors: Any = None, faces: Any = None, config_dict: dict | None = None,
                 global_step: int | None = None, walltime: float | None = None) -> None:  # fmt: skip
        """Writes bodies: vertices (batch, n, 3), colours of them, faces between them."""
        self._add(summary.mesh(tag, vertices, colors, faces, config_dict), global_step, walltime)


def _lines(path: str, lines: list[str]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
