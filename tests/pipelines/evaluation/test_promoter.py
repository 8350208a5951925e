"""Promoter on what TFX's Evaluator really leaves: registered, measured, decided."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tokenizer.contract import MeteringRecord

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def promote(tmp_path: Path, evaluate, toy_model, toy_examples: Path):
    """Runs Promoter's executor on a toy model; gives its PromotionBlessing and its report."""
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.types import standard_artifacts

    from components.artifacts import MeterBlessing, PromotionBlessing
    from components.promoter.executor import Executor
    from pipelines.evaluation.eval_config import EXTRACTORS_MODULE

    (tmp_path / "requirements.txt").touch()

    def run(manner: str, fingerprint: str = "aa", refused_by: str = "", **rules):
        evaluation = standard_artifacts.ModelEvaluation()
        model_blessing = standard_artifacts.ModelBlessing()
        found = evaluate(manner)
        evaluation.uri, model_blessing.uri = map(str, found)
        model_blessing.set_int_custom_property("blessed", int(refused_by != "Evaluator"))
        infra_blessing = standard_artifacts.InfraBlessing()
        infra_blessing.set_int_custom_property("blessed", int(refused_by != "ServingValidator"))
        meter_blessing = MeterBlessing()
        meter_blessing.blessed = int(refused_by != "MeterValidator")
        examples = standard_artifacts.Examples()
        examples.uri, examples.split_names = str(toy_examples), '["eval"]'
        model = standard_artifacts.Model()
        model.uri, model.id = str(tmp_path / f"{manner}-{fingerprint}"), 7
        if not Path(model.uri).exists():
            shutil.copytree(toy_model(manner), model.uri)
            record(fingerprint).save(Path(model.uri) / "Format-Serving")
        blessing = PromotionBlessing()
        blessing.uri = str(tmp_path / "blessing")
        context = BaseBeamExecutor.Context(
            beam_pipeline_args=[
                "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
                f"--requirements_file={tmp_path / 'requirements.txt'}",
            ],
            tmp_dir=str(tmp_path),
            unique_id="1",
        )
        Executor(context).Do(
            {
                "model": [model],
                "examples": [examples],
                "evaluation": [evaluation],
                "model_blessing": [model_blessing],
                "meter_blessing": [meter_blessing],
                "infra_blessing": [infra_blessing],
            },
            {"blessing": [blessing]},
            {
                "registry": f"sqlite:///{tmp_path}/registry.sqlite",
                "model_name": "summarizer",
                "rules": json.dumps({"metric": "rouge_l_f1", **rules}),
                "notes": json.dumps({"pipeline": "toy"}),
                "evaluator_module": EXTRACTORS_MODULE,
            },
        )
        return blessing, json.loads((tmp_path / "blessing" / "report.json").read_text())

    return run


def record(fingerprint: str) -> MeteringRecord:
    return MeteringRecord(
        contract_version=1,
        model_family="t5",
        tokenizer_kind="sentencepiece",
        tokenizer_fingerprint=fingerprint,
        vocabulary_size=400,
        max_input_tokens=40,
        max_output_tokens=8,
        task_prefix="",
        pipeline_run="run-1",
        spans=(3, 4),
        code_version="0123456789abcdef",
    )


@pytest.mark.parametrize("validator", ["Evaluator", "MeterValidator", "ServingValidator"])
def test_what_a_validator_did_not_bless_is_not_registered(
    promote, tmp_path: Path, validator: str
) -> None:
    blessing, report = promote("fewer_words", refused_by=validator)
    assert (blessing.blessed, blessing.version, blessing.outcome) == (0, 0, "not_blessed")
    assert report["reason"] == f"It is not registered: {validator} did not bless it."
    assert report["refused_by"] == [validator]
    assert not (tmp_path / "registry.sqlite").exists()


def test_a_better_model_becomes_the_champion_and_a_worse_one_does_not(
    promote, tmp_path: Path
) -> None:
    from components.model_registry import open_registry
    from components.promoter.promotion import aliases_of

    blessing, report = promote("fewer_words")
    assert (blessing.blessed, blessing.version, blessing.outcome) == (1, 1, "champion")
    assert report["reason"] == "There was no champion."

    # The champion was nobody's baseline: it is evaluated on the candidate's test set.
    blessing, report = promote("first_words", min_gain=0.1)
    assert (blessing.blessed, blessing.version) == (1, 2)
    assert report["reason"].startswith(
        "Its rouge_l_f1 is 1.0000, that of the champion (version 1) on the same test set 0.857"
    )
    assert (report["champion_before"], report["refused_by"]) == (1, [])
    compared = report["comparison"]
    assert (compared["metric"], compared["candidate"]) == ("rouge_l_f1", 1.0)
    assert (compared["champion"], compared["min_gain"]) == (pytest.approx(0.857, abs=1e-3), 0.1)

    # The same model again, and the old one again: no version more.
    blessing, report = promote("first_words")
    assert (blessing.blessed, blessing.version) == (1, 2)
    blessing, report = promote("fewer_words")
    assert (blessing.blessed, blessing.version, blessing.outcome) == (0, 1, "challenger")

    # Other counts.
    blessing, report = promote("first_words", fingerprint="bb", min_gain=-1.0)
    assert (blessing.blessed, blessing.version, blessing.outcome) == (0, 3, "refused")
    assert report["refused_by"] == ["the champion's tokenizer"]
    assert 'registry.allow_tokenizer = "bb"' in report["reason"]
    blessing, report = promote(
        "first_words", fingerprint="bb", min_gain=-1.0, allow_tokenizer="bb", manual=True
    )
    assert (blessing.blessed, blessing.outcome) == (0, "challenger")
    assert report["reason"].endswith("`tallygraph registry promote 3`.")

    registry = open_registry(blessing.registry)
    assert aliases_of(registry, "summarizer") == {"champion": 2, "previous": 1, "challenger": 3}
    version = registry.version("summarizer", 2)
    assert version.uri == str(tmp_path / "first_words-aa" / "Format-Serving")
    assert version.metrics["rouge_l_f1"] == 1.0
    assert version.metrics["examples"] == 120
    assert version.tags["spans"] == "3 4"
    assert version.tags["tokenizer_fingerprint"] == "aa"
    assert version.tags["pipeline"] == "toy"
    assert version.tags["mlmd_model_id"] == "7"


def test_the_champions_metrics_are_the_evaluators_own_where_it_was_the_baseline(
    evaluate, toy_model, toy_examples: Path
) -> None:
    from tfx.types import standard_artifacts

    from components.promoter.measuring import champion_metrics, metrics_in
    from pipelines.evaluation.eval_config import EXTRACTORS_MODULE

    uri = str(evaluate("first_words", "fewer_words")[0])
    assert metrics_in(uri)["rouge_l_f1"] == pytest.approx(0.857, abs=0.01)
    examples = standard_artifacts.Examples()
    examples.uri, examples.split_names = str(toy_examples), '["eval"]'

    def measured(baseline: str, champion: str) -> dict[str, float]:
        blessing = standard_artifacts.ModelBlessing()
        blessing.set_string_custom_property("baseline_model", str(toy_model(baseline)))
        folder = str(toy_model(champion) / "Format-Serving")
        return dict(
            champion_metrics(folder, uri, blessing, [examples], "eval", EXTRACTORS_MODULE, None)
        )

    assert measured("first_words", "first_words")["rouge_l_f1"] == 1.0
    # Another champion than the baseline is evaluated now, by the settings of that evaluation.
    again = measured("first_words", "fewer_words")
    assert again == metrics_in(uri)


def test_a_champion_whose_folder_is_gone_cannot_be_measured(evaluate, tmp_path: Path) -> None:
    from tfx.types import standard_artifacts

    from components.promoter.measuring import champion_metrics

    uri = str(evaluate("first_words")[0])
    blessing = standard_artifacts.ModelBlessing()
    assert champion_metrics(str(tmp_path), uri, blessing, [], "eval", "", None) == {}
