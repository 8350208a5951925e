"""The report of recorded runs: pushed, not pushed, reused, and not finished."""

import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pipelines.report.gathering import gather
from pipelines.report.model import Missing
from pipelines.report.run_records import RunNotFoundError
from pipelines.report.writing import ReportError, write_report
from tests.pipelines.report.read_page import Page, cells, section_of


@pytest.fixture(scope="module")
def page(
    recorded_run: Callable[..., tuple[Path, str]], tmp_path_factory: pytest.TempPathFactory
) -> str:
    metadata_file, run_id = recorded_run("first_words")
    target = tmp_path_factory.mktemp("page") / "new folder" / "report.html"
    settings: dict[str, dict[str, object]] = {
        "model": {"family": "t5"},
        "corpus": {"path": "<there>"},
        "training": {"lead_steps": 800},
    }
    report = gather(metadata_file, run_id, settings)
    return write_report(report, target).read_text(encoding="utf-8")


def test_the_page_is_one_well_formed_file(page: str) -> None:
    parser = Page()
    parser.feed(page)
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    # No other file, no network, no script: only links within the page.
    assert "script" not in parser.tags
    assert all(reference.startswith("#") for reference in parser.references)
    assert set(re.findall(r"url\((?!#)[^)]*\)", page)) == set()
    assert {reference[1:] for reference in parser.references} <= set(parser.ids)


def test_every_chart_is_well_formed_and_follows_the_pages_colours(page: str) -> None:
    charts = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(charts) == 5
    for chart in charts:
        ElementTree.fromstring(chart)
        assert not re.search(r"#[0-9a-f]{6}\b", chart)


def test_the_end_of_the_lead_is_explained_where_the_loss_is_seen(
    page: str, recorded_run: Callable[..., tuple[Path, str]], tmp_path: Path
) -> None:
    section = section_of(page, "learning")
    assert "lead steps, to 800" in section
    assert "over the first 800 steps" in section
    without = gather(*recorded_run("first_words"), {"training": {"lead_steps": 0}})
    text = write_report(without, tmp_path / "r.html").read_text("utf-8")
    assert "lead steps" not in section_of(text, "learning")
    assert "training.lead_steps" not in section_of(text, "learning")


def test_names_the_folder_of_tensorboards_events(
    page: str, recorded_run: Callable[..., tuple[Path, str]]
) -> None:
    training = gather(*recorded_run("first_words")).training
    assert (Path(training.log_dir) / "history.jsonl").is_file()
    command = f"<code>.venv/bin/tallygraph tensorboard --log-dir {training.log_dir}</code>"
    assert command in section_of(page, "learning")


def test_says_first_what_came_of_it_in_sentences(page: str) -> None:
    section = section_of(page, "in-short")
    assert page.index("in-short") < page.index('id="learning"')
    assert re.findall("<dt>([^<]*)</dt>", section) == [
        "What was trained?",
        "Is it better than doing nothing?",
        "Is it better than what was there before?",
        "Can its counts be trusted?",
        "What does a summary cost?",
    ]
    assert "Yes, by 0.143." in section


def test_samples_mark_what_was_copied(page: str) -> None:
    """The model answers with the document's first words, and with nothing else."""
    answers = re.findall(r'<dd class="text answer" dir="auto">(.*?)</dd>', page)
    assert len(answers) == 12
    assert all(re.fullmatch(r"<mark>[a-z ]+</mark>", answer) for answer in answers)
    assert "3 words or more" in section_of(page, "samples")


def test_nothing_is_wider_than_a_phone(page: str) -> None:
    """What cannot be narrow scrolls by itself: tables, charts and command lines."""
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    scrolling = r'<div class="scroll">\s*<table[^>]*>.*?</table>\s*</div>'
    assert "<table" not in re.sub(scrolling, "", page, flags=re.DOTALL)
    figures = re.sub(r"<figure>.*?</figure>", "", page, flags=re.DOTALL)
    assert "<svg" not in figures
    for name in (".scroll", "figure", "pre"):
        assert re.search(rf"^{re.escape(name)} {{[^}}]*overflow-x: auto", page, re.MULTILINE)


def test_says_that_the_model_was_pushed_and_how_good_it_is(page: str) -> None:
    assert "Pushed as version 17" in page
    assert "/serving/summarizer/17" in page
    assert "exported: 3.674 after step 3,750" in page
    assert "120 in eval" in page and "12 rejected" in page
    assert re.search(r"ROUGE-L F1</dt>\s*<dd>1\.000", page)
    assert "&lt;there&gt;" in page


def test_shows_what_the_validators_found(
    page: str, recorded_run: Callable[..., tuple[Path, str]]
) -> None:
    report = gather(*recorded_run("first_words"))
    assert report.meter_validation.blessed and report.serving_validation.blessed
    assert [check.cases for check in report.meter_validation.checks] == [1100, 1]
    assert report.meter_validation.facts == (("generated strings", "1000"), ("seed", "20"))
    assert "9 warm-up requests (21 rows) were answered as by the model itself." in page
    assert "available after 4.2 s" in page
    assert re.search(r"meter mismatches</dt>\s*<dd>0\s*<small>of 1,101<", page)


def test_shows_what_the_promoter_went_by(
    page: str, recorded_run: Callable[..., tuple[Path, str]]
) -> None:
    promotion = gather(*recorded_run("first_words")).promotion
    assert promotion.promoted and promotion.refused_by == ()
    assert (promotion.champion_before, promotion.champion_after) == (3, 5)
    section = section_of(page, "promotion")
    assert "It is the champion." in section
    assert cells(section) == [
        "5",
        "3",
        "5",
        "rouge_l_f1",
        "1.0000",
        "0.8570",
        "+0.1430",
        "+0.1000",
    ]


@pytest.mark.long
def test_a_model_that_was_not_promoted_says_why_and_by_how_much(
    recorded_run: Callable[..., tuple[Path, str]], tmp_path: Path
) -> None:
    report = gather(*recorded_run("first_words", min_gain=0.2))
    text = write_report(report, tmp_path / "r.html").read_text("utf-8")
    assert report.outcome.state == "not_pushed"
    assert "Promoter did not make version 5 the champion. Its rouge_l_f1 is 1.0000" in text
    section = section_of(text, "promotion")
    assert "Not passed: <strong>better than the champion</strong>." in section
    assert "It must exceed the champion's by more than 0.2 (registry.min_gain)." in unescape(
        section
    )
    assert cells(section) == [
        "5",
        "3",
        "3",
        "rouge_l_f1",
        "1.0000",
        "0.8570",
        "+0.1430",
        "+0.2000",
    ]


def test_a_run_that_was_not_blessed_says_why(
    recorded_run: Callable[..., tuple[Path, str]], tmp_path: Path
) -> None:
    metadata_file, run_id = recorded_run("collapsed")
    text = write_report(gather(metadata_file, run_id), tmp_path / "r.html").read_text("utf-8")
    assert "Not pushed" in text
    assert "at least 0.5 is required (evaluation.min_share_distinct)." in text
    assert "The settings were not handed to this report." in text
    section = section_of(text, "promotion")
    assert "It is not registered because Evaluator did not bless it." in section
    assert "Not passed: <strong>Evaluator</strong>." in section
    assert cells(section) == []


def test_lineage_leads_from_the_pushed_model_to_the_corpus(
    recorded_run: Callable[..., tuple[Path, str]], toy_examples: Path
) -> None:
    lineage = gather(*recorded_run("first_words")).lineage
    assert [[item.title for item in layer] for layer in lineage.layers()] == [
        ["Pushed model"],
        ["Metered model"],
        ["Base model"],
        ["Trained model"],
        ["Transform graph", "Transformed examples"],
        ["Tokenizer"],
        ["Examples"],
        ["Corpus"],
    ]
    by_title = {item.title: item for item in lineage.items}
    assert by_title["Corpus"].uri == str(toy_examples)
    assert by_title["Tokenizer"].properties["fingerprint"].startswith("9f86d081")
    assert by_title["Trained model"].made_by == "Trainer, execution 4"
    assert by_title["Base model"].made_by == "Exporter, execution 5"
    # The Meter reads the examples too; another way says so already.
    metered, examples = by_title["Metered model"], by_title["Examples"]
    assert examples.key in metered.made_of
    assert (metered.key, examples.key) not in lineage.direct_edges()


def test_a_run_that_reused_everything_has_the_same_parts(
    recorded_run: Callable[..., tuple[Path, str]],
    rerun: Callable[[Path, str], tuple[Path, str]],
    toy_examples: Path,
    tmp_path: Path,
) -> None:
    metadata_file, first = recorded_run("first_words")
    shutil.copytree(metadata_file.parent, tmp_path, dirs_exist_ok=True)
    before = gather(metadata_file, first)
    after = gather(*rerun(tmp_path, "first_words"))

    states = {node.node_id: node.state for node in after.nodes}
    assert states["Trainer"] == states["Meter"] == "cached"
    trainer = next(node for node in after.nodes if node.node_id == "Trainer")
    assert trainer.made_seconds is not None
    assert after.training == before.training
    assert after.corpus == before.corpus
    assert after.metering == before.metering
    # Made by the executions that did the work, not by those that reused it.
    base = next(item for item in after.lineage.items if item.title == "Base model")
    assert base.made_by == "Exporter, execution 5"


def test_a_run_that_stopped_early_says_what_is_missing(
    interrupted_run: tuple[Path, str], tmp_path: Path
) -> None:
    metadata_file, run_id = interrupted_run
    report = gather(metadata_file, run_id)
    assert report.outcome.state == "incomplete"
    assert "Trainer failed; the log has its error." in report.outcome.reasons
    for part in (
        report.training,
        report.evaluation,
        report.metering,
        report.meter_validation,
        report.serving_validation,
        report.promotion,
        report.lineage,
    ):
        assert isinstance(part, Missing) and part.reason
    text = write_report(gather(metadata_file, run_id), tmp_path / "r.html").read_text("utf-8")
    assert "Not finished" in text
    assert "The model was not evaluated." in text


def test_a_run_that_failed_says_with_what_error(
    interrupted_run: tuple[Path, str], tmp_path: Path
) -> None:
    error = "RuntimeError: the disk is <full>"
    report = gather(*interrupted_run, failures={"Trainer": error})
    assert report.outcome.reasons[0] == f"Trainer failed: {error}"
    text = write_report(report, tmp_path / "r.html").read_text("utf-8")
    assert "Trainer failed: RuntimeError: the disk is &lt;full&gt;" in text
    assert "Promoter did not run." in section_of(text, "promotion")

    # An error of a node that ML Metadata knows nothing of, and one that is a book.
    report = gather(*interrupted_run, failures={"Trainer": "x" * 10_000, "Meter": "no input"})
    assert len(report.outcome.reasons[0]) < 2100
    assert report.outcome.reasons[1] == "Meter failed: no input"


def test_an_unknown_run_is_refused_with_the_latest_one(
    recorded_run: Callable[..., tuple[Path, str]],
) -> None:
    metadata_file, run_id = recorded_run("first_words")
    with pytest.raises(RunNotFoundError, match=f"no run 'nobody'. Its latest run: {run_id}"):
        gather(metadata_file, "nobody")


def test_a_missing_database_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match="Expected the ML Metadata of a pipeline"):
        gather(tmp_path / "none.sqlite", "run")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_named(
    recorded_run: Callable[..., tuple[Path, str]], tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(ReportError, match="could not be written"):
        write_report(gather(*recorded_run("first_words")), tmp_path / "taken" / "r.html")
