"""The checklist on models: which weights, in what precision, and what they can be claims about."""

from collections.abc import Iterator

from unlearnbench.reporting.checklist.lines import Line, digest, number, part_of
from unlearnbench.reporting.document import Findings
from unlearnbench.results.record import Result


def lines(findings: Findings) -> Iterator[Line]:
    """Whether they are real, each model's weights, and the encoders that measure with them."""
    yield _claim(findings.results)
    by_weights: dict[tuple[str, str, str], list[Result]] = {}
    for result in findings.results:
        of = result.model
        by_weights.setdefault((of.name, of.weights_sha256, of.dtype), []).append(result)
    for results in by_weights.values():
        yield _model(results)
    yield from _encoders(findings.results)


def _claim(results: tuple[Result, ...]) -> Line:
    made_up = sorted({r.model.name for r in results if r.model.is_synthetic})
    real = sorted({r.model.name for r in results if not r.model.is_synthetic})
    if not made_up:
        return Line("Real models", "yes", "none is marked as synthetic", "model.is_synthetic")
    answer = f"{', '.join(made_up)}: of a made-up world, a test bench, no claim about real models"
    return Line("Real models", "in part" if real else "no", answer, "model.is_synthetic")


def _model(results: list[Result]) -> Line:
    of, roles = results[0].model, {r.role for r in results}
    used = [words for role, words in _ROLES.items() if role in roles]
    used += sorted(roles - _ROLES.keys())
    if not of.weights_sha256:
        answer = f"imported: its weights are not known; {', '.join(used)}"
        return Line(f"Model {of.name}", "not recorded", answer, "imported")
    revision = f"revision {of.revision}" if of.revision else "no revision"
    answer = (
        f"{of.architecture}, {number(of.n_parameters, 'parameter')}, {of.dtype}, {revision}, "
        f"weights {digest(of.weights_sha256)}; {', '.join(used)}"
    )
    return Line(f"Model {of.name}", "yes", answer, "model")


_ROLES = {
    "before": "before unlearning",
    "method": "unlearned",
    "dedup": "trained on deduplicated text",
    "retrained": "trained without the forget set",
    "null": "trained without it, other seed",
}


def _encoders(results: tuple[Result, ...]) -> Iterator[Line]:
    found: dict[str, set[str]] = {"bert": set(), "pairs": set()}
    for result in results:
        for name, seen in found.items():
            if sha256 := part_of(result, "encoders").get(name):
                seen.add(str(sha256))
    names = {"bert": "BERT of BERTScore", "pairs": "Encoder of pairs"}
    for name, seen in found.items():
        answer = ", ".join(map(digest, sorted(seen))) or "none"
        yield Line(names[name], "yes" if seen else "no", answer, "identity.encoders")
