"""What `unlearnbench judge` can be asked; each field is a flag."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unlearnbench.errors import UserError
from unlearnbench.settings import quoted, setting, settings_of


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """Whom to ask, about what, and how patiently."""

    base_url: str | None = setting(
        None, "root of an OpenAI-compatible server: http://127.0.0.1:8000/v1"
    )
    judge_model: str | None = setting(None, "the model's name on that server")
    prompt_file: str | None = setting(
        None, "another wording of the rubric, with {prefix}, {reference} and {candidate} in it"
    )
    methods: tuple[str, ...] = setting(
        (), "only these rows: methods, before, dedup, retrained; default: all"
    )
    runs: tuple[str, ...] = setting((), "only these forget sets; default: all")
    limit: int | None = setting(
        None, "only so many documents of each cell, the same for all its rows", minimum=1
    )
    concurrency: int = setting(4, "questions at a time", minimum=1)
    timeout: float = setting(60.0, "seconds of silence that end an attempt", above=0)
    retries: int = setting(
        4, "more attempts after a rate limit, a time-out, a broken connection or an HTTP 5xx",
        minimum=0,
    )  # fmt: skip
    max_tokens: int = setting(512, "limit of one reply; a reasoning model needs more", minimum=1)

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> "JudgeOptions":
        """The options of text by field name; raises `UserError` naming the flag."""
        known = settings_of(cls)
        values = {}
        for name, text in given.items():
            try:
                values[name] = known[name].parse(text)
            except (ValueError, TypeError):
                raise UserError(
                    f"--{known[name].flag} {quoted(text)} is not {known[name].kind}; "
                    "see: unlearnbench judge --help"
                ) from None
        return cls(**values)

    def whom(self) -> tuple[str, str]:
        """Address and model; raises `UserError` if one was not given."""
        if not self.base_url or not self.judge_model:
            missing = "--judge-model" if self.base_url else "--base-url"
            raise UserError(
                f"no {missing}; name a server and a model: unlearnbench judge "
                "--base-url http://127.0.0.1:8000/v1 --judge-model NAME"
            )
        return self.base_url, self.judge_model
