"""Executor of CorpusExampleGen."""

from __future__ import annotations

import json
import logging
from typing import Any

import apache_beam as beam
from tfx import types
from tfx.components.example_gen import base_example_gen_executor, utils, write_split
from tfx.components.util import examples_utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import proto_utils

from components.corpus_example_gen import report
from components.corpus_example_gen.custom_config import options_in
from components.corpus_example_gen.files import choose_files, list_files
from components.corpus_example_gen.options import CorpusInputError
from components.corpus_example_gen.reading import ReadCorpus
from components.corpus_example_gen.writing import WriteCount, WriteExamples, WriteRepeats

_WORK_FOLDER = ".corpus_work"
_REPEATS = "repeats"
# What is logged here is shown on the terminal.
_PROGRESS = logging.getLogger("tallygraph.corpus")


class Executor(base_example_gen_executor.BaseExampleGenExecutor):
    """Reads corpus files into splits of tf.Examples and reports what it left out."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Read, split and write a corpus.

        Args:
          input_dict: empty.
          output_dict: `examples`: the splits, and beside them `rejects.jsonl` and
            `counts.json`.
          exec_properties: `input_base`, `input_config`, `output_config` as
            FileBasedExampleGen has them; `custom_config`: the CorpusOptions.

        Raises:
          CorpusInputError: a split has no usable row. No retry will help.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        artifacts = output_dict[standard_component_specs.EXAMPLES_KEY]
        examples = artifact_utils.get_single_instance(artifacts)
        input_config, output_config = _configs(exec_properties)
        names = utils.generate_output_split_names(input_config, output_config)
        examples.split_names = artifact_utils.encode_split_names(names)
        examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
        examples_utils.set_file_format(
            examples, write_split.to_file_format_str(example_gen_pb2.FORMAT_TFRECORDS_GZIP)
        )

        self._work = f"{examples.uri}/{_WORK_FOLDER}"
        self._files_read: list[str] = []
        self._files_left_out: list[str] = []
        fileio.makedirs(self._work)
        with self._make_beam_pipeline() as pipeline:
            splits = self.GenerateExamplesByBeam(pipeline, dict(exec_properties))
            for name, split in splits.items():
                uri = artifact_utils.get_split_uri(artifacts, name)
                split | f"WriteSplit[{name}]" >> WriteExamples(uri)
                split | f"CountSplit[{name}]" >> WriteCount(f"{self._work}/count-{name}")
            repeats = WriteRepeats(list(splits), f"{self._work}/{_REPEATS}")
            tuple(splits.values()) | "Repeats" >> repeats

        counts = self._report(examples.uri, names)
        fileio.rmtree(self._work)
        counts.save(examples.uri)
        if not all(counts.used.values()):
            where = exec_properties[standard_component_specs.INPUT_BASE_KEY]
            raise CorpusInputError(report.empty_split_message(counts, examples.uri, where))
        for line in counts.lines(examples.uri):
            _PROGRESS.info(line)

    def GetInputSourceToExamplePTransform(self) -> Any:  # noqa: N802  (TFX's name)
        """Return the function that makes the reading transform from properties and a split's
        pattern."""
        splits_read = 0

        def read(exec_properties: dict[str, Any], pattern: str) -> beam.PTransform:
            nonlocal splits_read
            base = exec_properties[standard_component_specs.INPUT_BASE_KEY]
            options = options_in(exec_properties)
            files, left_out = choose_files(list_files(base, pattern), base, options)
            self._files_read += [file.name for file in files]
            self._files_left_out += left_out
            splits_read += 1
            return ReadCorpus(files, options, f"{self._work}/rejects-{splits_read:02d}-")

        return read

    def _report(self, examples_uri: str, names: list[str]) -> report.CorpusCounts:
        parts = list_files(self._work, "rejects-*.jsonl")
        reasons = report.merge_rejects(parts, examples_uri)
        used = {}
        for name in names:
            with fileio.open(f"{self._work}/count-{name}") as stream:
                used[name] = int(stream.read())
        with fileio.open(f"{self._work}/{_REPEATS}") as stream:
            repeats = json.loads(stream.read())
        return report.CorpusCounts(
            rows=sum(used.values()) + reasons.total(),
            used=used,
            rejected=reasons.total(),
            rejected_by_reason=report.sorted_reasons(reasons),
            files_read=self._files_read,
            files_left_out=self._files_left_out,
            **repeats,
        )


def _configs(
    exec_properties: dict[str, Any],
) -> tuple[example_gen_pb2.Input, example_gen_pb2.Output]:
    input_config = example_gen_pb2.Input()
    proto_utils.json_to_proto(
        exec_properties[standard_component_specs.INPUT_CONFIG_KEY], input_config
    )
    output_config = example_gen_pb2.Output()
    proto_utils.json_to_proto(
        exec_properties[standard_component_specs.OUTPUT_CONFIG_KEY], output_config
    )
    return input_config, output_config
