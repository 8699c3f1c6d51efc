"""`unlearnbench human`: a blind sheet, a page to rate it on, and what the ratings say."""

import click

from unlearnbench.cli.human_score import score
from unlearnbench.cli.human_serve import serve
from unlearnbench.cli.human_sheet import rehearse, sheet


@click.group()
def human() -> None:
    """Let people rate what the models wrote, without knowing which method wrote it.

    \b
    unlearnbench human sheet results --out study --rows 30
    unlearnbench human serve study --annotator anna
    unlearnbench human score study-key.json study/ratings-*.csv
    unlearnbench human rehearse results        all of it without people: rules rate
    """


for _command in (sheet, serve, score, rehearse):
    human.add_command(_command)
