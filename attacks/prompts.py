"""Prompts: the same weights asked in other words, after other examples, with a first word given."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnbench.attacking.attack import Attack, Point, Target
from unlearnbench.errors import UserError
from unlearnbench.registry import register
from unlearnbench.settings import setting

if TYPE_CHECKING:
    from unlearnbench.attacking.asking import Asked
    from unlearnbench.attacking.prompt_forms import Form
    from unlearnbench.data.forget_source import ForgetSource
    from unlearnbench.data.items import Split
    from unlearnbench.models.language_model import LanguageModel

BUILT_IN = Path(__file__).with_name("prompts.toml")
MANY_SHOT, PARAPHRASES = "many-shot", "paraphrases"
_LABELS = {MANY_SHOT: "Many-shot", PARAPHRASES: "Paraphrases"}

_logger = logging.getLogger("unlearnbench")


@register
@dataclass(kw_only=True)
class Prompts(Attack):
    """Other ways to ask: affirmative prefix, many-shot, role play, another language, paraphrases.

    No weight is changed.  Whatever retained examples or a frame teach in passing they teach the
    retrained model as well; what only the unlearned model then says had not left it.
    """

    name = "prompts"
    label = "Prompts"
    source = (
        "Jin et al. 2024 (RWKU, 2406.10890), section 3; Anil et al. 2024 (many-shot jailbreaking)"
    )

    forms: tuple[str, ...] = setting(
        ("prefix", "many-shot", "role-play", "translated"),
        "ways to ask: those of the built-in file and of `file`, many-shot, paraphrases",
    )
    shots: int = setting(
        20, "retained examples of many-shot; fewer where they do not fit", minimum=1
    )
    file: str | None = setting(
        None, "a TOML file of more forms, each asked as well: question, answer_prefix, text"
    )
    paraphrases: str | None = setting(
        None,
        "a table of doc_id and paraphrase of the rows to forget; without one a benchmark's own",
    )

    @property
    def n_points(self) -> int:
        """One for each form, and the plain one."""
        return 1 + len(self._names())

    def check(
        self,
        model: "LanguageModel",  # noqa: ARG002
        source: "ForgetSource",
        run: str,
        splits: "Sequence[Split]",
    ) -> None:
        """Raise `UserError` for an unknown form, a file that says none, paraphrases of others."""
        from unlearnbench.attacking.prompt_forms import choose_forms

        choose_forms(self.forms, [*self._forms(), MANY_SHOT, PARAPHRASES])
        given = self._paraphrases()
        if given and (splits or given.keys().isdisjoint(source.targets(run).doc_ids)):
            # Which rows of a file are wanted is known when they are read: `--limit`.
            self._check(given, source.title(run), splits, source.targets(run).doc_ids)

    def data_sha256(self) -> dict[str, str]:
        """The built-in forms, and the files that settings name."""
        from unlearnbench.files.hashing import file_sha256

        named = {"forms": str(BUILT_IN), "file": self.file, "paraphrases": self.paraphrases}
        return {n: file_sha256(Path(at).expanduser()) for n, at in named.items() if at}

    def apply(self, model: "LanguageModel", target: Target) -> Iterator[Point]:
        """The model asked plainly, then in each form that fits it and says something here.

        Raises `UserError` where none does.
        """
        from unlearnbench.attacking.contexts import asked_with

        forms = self._forms()
        asked = {name: self._asked(name, forms, model, target) for name in self._names()}
        if not any(asked.values()):
            raise UserError(
                f"prompts: none of {', '.join(asked)} changes what is asked here and fits the "
                f"{model.max_length} tokens that {model.source.name} reads; take other forms: "
                "--set prompts.forms=prefix"
            )
        yield Point("plain", "Asked plainly", model)
        for name, how in asked.items():
            if how is not None:
                label = forms[name].label if name in forms else _LABELS[name]
                context = asked_with(target.context, how.rows, how.splits)
                yield Point(name, label, model, context=context, facts=how.facts)

    def _asked(
        self, name: str, forms: "dict[str, Form]", model: "LanguageModel", target: Target
    ) -> "Asked | None":
        """What a form asks; None, and a warning that says why, where it cannot be asked."""
        from unlearnbench.attacking import asking

        if name == MANY_SHOT:
            asked = asking.many_shot(model, target, self.shots, self.seed)
            why = "nothing that may stay known fits in front"
        elif name == PARAPHRASES:
            asked = asking.in_other_words(model, target, self._paraphrases_of(target))
            why = "there are none; give them: --set prompts.paraphrases=FILE"
        else:
            asked = asking.in_form(forms[name], model, target)
            why = "it has no words for what is asked here"
        if asked is not None and (too_long := asking.misfit(model, target, asked)):
            asked, why = None, too_long
        if asked is None:
            _logger.warning("prompts: the form '%s' is left out: %s", name, why)
        return asked

    def _names(self) -> tuple[str, ...]:
        """The forms in their order: those named, the file's, paraphrases where a file has some."""
        more = list(self._read_file()) if self.file else []
        more += [PARAPHRASES] if self.paraphrases else []
        return tuple(dict.fromkeys([*self.forms, *more]))

    def _forms(self) -> "dict[str, Form]":
        """Those of the built-in file, and of the user's."""
        from unlearnbench.attacking.prompt_forms import read_forms

        return {**read_forms(BUILT_IN), **self._read_file()}

    def _read_file(self) -> "dict[str, Form]":
        from unlearnbench.attacking.prompt_forms import read_forms

        if not self.file:
            return {}
        path = Path(self.file).expanduser()
        forms = read_forms(path)
        for name in ("plain", MANY_SHOT, PARAPHRASES):
            if name in forms:
                raise UserError(f"{path.name}: a form of its own is called '{name}'; rename it")
        return forms

    def _paraphrases(self) -> dict[str, str]:
        from unlearnbench.attacking.prompt_forms import read_paraphrases

        return read_paraphrases(Path(self.paraphrases).expanduser()) if self.paraphrases else {}

    def _paraphrases_of(self, target: Target) -> dict[str, str]:
        """Those of the rows and items to forget; raises `UserError` where one has none."""
        paraphrases = self._paraphrases()
        if paraphrases:
            splits = target.context.splits
            self._check(paraphrases, target.forget_set.name, splits, target.forget_set.rows.doc_ids)
        return paraphrases

    def _check(
        self,
        paraphrases: dict[str, str],
        title: str,
        splits: "Sequence[Split]",
        doc_ids: Sequence[str],
    ) -> None:
        from unlearnbench.attacking.prompt_forms import check_paraphrased

        assert self.paraphrases is not None
        file = Path(self.paraphrases).name
        for split in splits:
            if split.is_to_forget:
                names = [item.doc_id for item in split.items if item.question]
                check_paraphrased(paraphrases, names, file, f"{title}, split '{split.name}'")
        if not splits:
            check_paraphrased(paraphrases, doc_ids, file, title)
