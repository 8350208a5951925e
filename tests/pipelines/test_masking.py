"""Secrets of settings are neither stored nor printed."""

from __future__ import annotations

from pipelines.masking import masked, option_names


def test_credentials_and_queries_of_urls_are_masked() -> None:
    text = '"https://ann:s3cret@models.example/x?token=t0ps3cret", sqlite:////tmp/a.sqlite'
    assert masked(text) == '"https://***@models.example/x?***", sqlite:////tmp/a.sqlite'


def test_a_text_without_urls_stays() -> None:
    assert masked("mail ann@example.org? no") == "mail ann@example.org? no"


def test_options_keep_their_names_alone() -> None:
    given = ("--runner=Dataflow", "--password", "s3cret", "--streaming")
    assert option_names(given) == ("--runner=***", "--password", "***", "--streaming")
