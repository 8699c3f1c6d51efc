"""The model card of an unlearned model, as the hub reads it."""

from unlearnbench.forgetting.certificate import Certificate
from unlearnbench.forgetting.choice import named
from unlearnbench.forgetting.words import attack_in_words, known_rows
from unlearnbench.publishing.card_head import bullets, card_head, is_of_world, synthetic_warning

_TEMPLATE = """{head}
# {title}

{warning}{statement}

| | before | after |
|---|---|---|
| {known_rows} | {known} of {n} | {left} of {n} |
{utility}

- Method: {method}, seed {seed}. Chosen by one rule: {rule}.
- Rows that the model did not know before: {unknown}.
{earlier}- SHA-256 of weights, configuration and tokenizer: before `{before}`, after `{after}`.
- Under attack: {attacks}.

`certificate.json` has the evidence row by row, every model that was tried, and the settings.

## Not tested

{not_tested}
"""


def model_card(one: Certificate) -> str:
    """README.md with the hub's YAML head; it claims what the certificate does."""
    from huggingface_hub import EvalResult

    assert one.model_after is not None
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type="deletion-request",
            dataset_name=f"deletion request {one.request}",
            metric_type="known_rows",
            metric_name=known_rows(one.row_limit),
            metric_value=sum(bool(row.known_before and row.known_after) for row in one.rows),
        ),
        *(
            EvalResult(
                task_type="text-generation",
                dataset_type=text.text,  # the library puts all of a type under one name
                dataset_name=text.text,
                metric_type="nll",
                metric_name="nats per token",
                metric_value=round(text.after, 4),
            )
            for text in one.utility
            if text.after is not None
        ),
    ]
    name = f"{one.base_model.rpartition('/')[2]}-unlearned"
    rows = [row for row in one.rows if row.known_before]
    return _TEMPLATE.format(
        head=card_head(name, one.base_model, results),
        warning=synthetic_warning(is_of_world(one.base_model)),
        title=name,
        statement=one.statement,
        known_rows=known_rows(one.row_limit),
        known=len(rows),
        n=len(one.rows),
        left=sum(bool(row.known_after) for row in rows),
        utility="\n".join(
            f"| {text.text}, NLL in nats per token | {text.before:.3f} | {text.after:.3f} |"
            for text in one.utility
            if text.after is not None
        ),
        method=one.method,
        seed=one.seed,
        rule=one.rule,
        unknown=named(one.not_known_before) or "none",
        earlier=_earlier(one),
        before=one.model_before.weights_sha256,
        after=one.model_after.weights_sha256,
        attacks="; ".join(attack_in_words(a, len(one.rows)) for a in one.attacks)
        or "no attack was made",
        not_tested=bullets(one.not_tested),
    )


def _earlier(one: Certificate) -> str:
    if one.previous is None:
        return ""
    back = [f"{row.doc_id} of request {row.request}" for row in one.came_back]
    return f"- Rows of earlier requests that came back: {named(back) or 'none'}.\n"
