"""Promoter on what TFX's Evaluator really leaves: registered, measured, decided."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.empty_registry import lay_registry
from tokenizer.contract import MeteringRecord

if TYPE_CHECKING:
    from components.artifacts import PromotionBlessing

# Runs Promoter on a model of a manner; gives what it decided and why.
Promote = Callable[..., "tuple[PromotionBlessing, dict[str, Any]]"]


@pytest.fixture
def promote(
    tmp_path: Path,
    evaluate: Callable[..., tuple[Path, Path]],
    toy_model: Callable[[str], Path],
    toy_examples: Path,
) -> Promote:
    """Runs Promoter's executor on a toy model; gives its PromotionBlessing and its report."""
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.types import standard_artifacts

    from components.artifacts import MeterBlessing, PromotionBlessing
    from components.promoter.executor import Executor
    from pipelines.evaluation.eval_config import EXTRACTORS_MODULE

    (tmp_path / "requirements.txt").touch()

    def run(
        manner: str,
        fingerprint: str = "aa",
        refused_by: str = "",
        found: tuple[Path, Path] | None = None,
        baseline: Path | None = None,
        **rules: object,
    ) -> tuple[PromotionBlessing, dict[str, Any]]:
        evaluation = standard_artifacts.ModelEvaluation()
        model_blessing = standard_artifacts.ModelBlessing()
        evaluation.uri, model_blessing.uri = map(str, found or evaluate(manner))
        model_blessing.set_int_custom_property("blessed", int(refused_by != "Evaluator"))
        infra_blessing = standard_artifacts.InfraBlessing()
        infra_blessing.uri = str(tmp_path / "infra")
        infra_blessing.set_int_custom_property("blessed", int(refused_by != "ServingValidator"))
        meter_blessing = MeterBlessing()
        meter_blessing.uri = str(tmp_path / "meter")
        meter_blessing.blessed = int(refused_by != "MeterValidator")
        examples = standard_artifacts.Examples()
        examples.uri, examples.split_names = str(toy_examples), '["eval"]'
        model = standard_artifacts.Model()
        model.uri, model.id = str(tmp_path / f"{manner}-{fingerprint}"), 7
        if not Path(model.uri).exists():
            shutil.copytree(toy_model(manner), model.uri)
            record(fingerprint).save(Path(model.uri) / "Format-Serving")
        compared_with = standard_artifacts.Model()
        compared_with.uri = str(baseline)
        blessing = PromotionBlessing()
        blessing.uri = str(tmp_path / "blessing")
        if not refused_by and not (tmp_path / "registry.sqlite").exists():
            lay_registry(tmp_path / "registry.sqlite")
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
                "baseline_model": [compared_with] if baseline else [],
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


@pytest.mark.parametrize(
    ("validator", "why"),
    [
        ("Evaluator", "it names no threshold; its test set may be empty."),
        ("MeterValidator", "counts: 3 of 40 cases differ. bounds was not run: no limit."),
        ("ServingValidator", "The server did not start."),
    ],
)
def test_what_a_validator_did_not_bless_is_not_registered(
    promote: Promote,
    tmp_path: Path,
    validator: str,
    why: str,
) -> None:
    from components.meter_validator.check import Check, Mismatch
    from components.meter_validator.report import write_reports
    from components.serving_validator.report import Report

    for folder in ("meter", "infra"):
        (tmp_path / folder).mkdir()
    wrong = Check("counts", "that they are right", cases=40, mismatch_count=3)
    wrong.mismatches.append(Mismatch("a", "1", "2"))
    write_reports(
        [Check("ids", "", cases=40), wrong, Check("bounds", "", not_run="no limit")],
        {},
        tmp_path / "meter",
    )
    Report("local", "", "summarizer", reason="The server did not start.").save(
        tmp_path / "infra" / "report.json"
    )

    blessing, report = promote("fewer_words", refused_by=validator)

    assert (blessing.blessed, blessing.version, blessing.outcome) == (0, 0, "not_blessed")
    assert report["reason"].startswith(
        f"It is not registered because {validator} did not bless it."
    )
    assert " ".join(found.removeprefix(f"{validator}: ") for found in report["reasons"]) == why
    assert report["refused_by"] == [validator]
    assert blessing.get_string_custom_property("reason") == report["reason"]
    assert not (tmp_path / "registry.sqlite").exists()


@pytest.mark.long
def test_the_thresholds_that_were_missed_are_named_with_what_was_measured(
    promote: Promote,
    evaluate: Callable[..., tuple[Path, Path]],
) -> None:
    found = evaluate("first_words", "fewer_words")

    _, report = promote("fewer_words", refused_by="Evaluator", found=found)

    assert report["reasons"] == [
        "Evaluator: rouge_l_f1 is 0.1429 below the baseline model's; at most 0.02 below is "
        "allowed."
    ]
    assert report["reasons"][0] in report["reason"]


@pytest.mark.long
def test_a_better_model_becomes_the_champion_and_a_worse_one_does_not(
    promote: Promote, tmp_path: Path
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
        "Its rouge_l_f1 is 1.0000; that of the champion (version 1) on the same test set "
        "is 0.857"
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

    registry = open_registry(blessing.registry)
    assert aliases_of(registry, "summarizer") == {"champion": 2, "previous": 1, "challenger": 1}
    version = registry.version("summarizer", 2)
    assert version.uri == str(tmp_path / "first_words-aa" / "Format-Serving")
    assert version.metrics["rouge_l_f1"] == 1.0
    assert version.metrics["examples"] == 120
    assert version.tags["spans"] == "3 4"
    assert version.tags["tokenizer_fingerprint"] == "aa"
    assert version.tags["pipeline"] == "toy"
    assert version.tags["mlmd_model_id"] == "7"


@pytest.mark.long  # evaluates the champion each time; test_promotion_rules.py has the rule
def test_other_counts_are_refused_unless_the_tokenizer_is_named(promote: Promote) -> None:
    from components.model_registry import open_registry
    from components.promoter.promotion import aliases_of

    promote("first_words")
    blessing, report = promote("first_words", fingerprint="bb", min_gain=-1.0)
    assert (blessing.blessed, blessing.version, blessing.outcome) == (0, 2, "refused")
    assert report["refused_by"] == ["the champion's tokenizer"]
    assert 'registry.allow_tokenizer = "bb"' in report["reason"]
    blessing, report = promote(
        "first_words", fingerprint="bb", min_gain=-1.0, allow_tokenizer="bb", manual=True
    )
    assert (blessing.blessed, blessing.outcome) == (0, "challenger")
    assert report["reason"].endswith("`tallygraph registry promote 2`.")
    registry = open_registry(blessing.registry)
    assert aliases_of(registry, "summarizer") == {"champion": 1, "challenger": 2}


@pytest.mark.long
def test_what_a_person_decides_outlasts_the_next_runs(promote: Promote) -> None:
    from components.model_registry import open_registry
    from components.model_registry.port import RegisteredVersion
    from components.promoter.promotion import aliases_of, roll_back
    from components.promoter.promotion import promote as promote_by_hand
    from components.promoter.rules import Rules

    published: list[str] = []

    def publish(version: RegisteredVersion) -> None:
        published.append(Path(version.uri).parent.name)

    # Given a champion, and a better model that waits for a person
    champion, _ = promote("fewer_words")
    registry = open_registry(champion.registry)
    waiting, report = promote("first_words", manual=True)
    assert (waiting.blessed, waiting.outcome) == (0, "challenger")
    assert report["reason"].endswith("`tallygraph registry promote 2`.")

    # When the person promotes it, the run that made it leaves it where it is
    promote_by_hand(registry, "summarizer", 2, Rules("rouge_l_f1", manual=True), publish)
    again, _ = promote("first_words", manual=True)
    assert (again.blessed, again.version) == (1, 2)

    # And when it is rolled back, that run does not bring it back
    roll_back(registry, "summarizer", publish)
    repeated, report = promote("first_words")
    assert (repeated.blessed, repeated.version) == (0, 2)
    assert "It was rolled back at" in report["reason"]
    assert aliases_of(registry, "summarizer") == {"champion": 1}
    assert published == ["first_words-aa", "fewer_words-aa"]


@pytest.mark.long
def test_the_champions_metrics_are_the_evaluators_own_where_it_was_the_baseline(
    promote: Promote,
    evaluate: Callable[..., tuple[Path, Path]],
    toy_model: Callable[[str], Path],
    toy_examples: Path,
    tmp_path: Path,
) -> None:
    from tfx.types import standard_artifacts

    from components.promoter.measuring import champion_metrics, metrics_in
    from pipelines.evaluation.eval_config import EXTRACTORS_MODULE

    uri = str(evaluate("first_words", "fewer_words")[0])
    assert metrics_in(uri)["rouge_l_f1"] == pytest.approx(0.857, abs=0.01)
    examples = standard_artifacts.Examples()
    examples.uri, examples.split_names = str(toy_examples), '["eval"]'

    def measured(is_baseline: bool, champion: Path) -> dict[str, float]:
        return dict(
            champion_metrics(
                str(champion), uri, is_baseline, [examples], "eval", EXTRACTORS_MODULE, None
            )
        )

    assert measured(True, tmp_path / "not read")["rouge_l_f1"] == 1.0
    # Another champion than the baseline is evaluated now, by the settings of that evaluation.
    again = measured(False, toy_model("fewer_words") / "Format-Serving")
    assert again == metrics_in(uri)


@pytest.mark.long
def test_the_baseline_is_the_champion_where_its_bytes_are(
    promote: Promote,
    evaluate: Callable[..., tuple[Path, Path]],
    tmp_path: Path,
) -> None:
    # Given a champion, and an evaluation whose baseline had other values than it would get
    promote("fewer_words")
    found = evaluate("first_words", "fewer_words")

    def champion_was(baseline: Path) -> float:
        _, report = promote("fewer_words", "cc", found=found, baseline=baseline)
        value: float = report["comparison"]["champion"]
        return value

    # When the baseline is a copy of the champion elsewhere, then the Evaluator's is taken
    copy = shutil.copytree(tmp_path / "fewer_words-aa", tmp_path / "another pod")
    assert champion_was(copy) == 1.0

    # When one byte of it differs, then the champion is evaluated
    (copy / "Format-Serving" / "one.more").write_text("x")
    assert champion_was(copy) == pytest.approx(0.857, abs=1e-3)


@pytest.mark.long
def test_a_champion_whose_folder_is_gone_cannot_be_measured(
    evaluate: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    from components.promoter.measuring import champion_metrics

    uri = str(evaluate("first_words")[0])
    assert champion_metrics(str(tmp_path), uri, False, [], "eval", "", None) == {}
