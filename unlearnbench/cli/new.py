"""`unlearnbench new`: a plugin file and its test, to be changed into one's own."""

import keyword
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

import click

from unlearnbench.errors import UserError


@click.command()
@click.argument("kind", type=click.Choice(["method", "wrapper", "task", "attack", "report"]))
@click.argument("name")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path(), help="folder  [default: this one]"
)
def new(kind: str, name: str, out: Path) -> None:
    """Write NAME.py, a working plugin of that kind, and test_NAME.py, which passes at once."""
    words = _names(kind, name)
    templates = {f"{name}.py": f"{kind}.txt", f"test_{name}.py": f"{kind}_test.txt"}
    for file_name in templates:
        if (path := out / file_name).exists():
            raise UserError(f"{path} exists already; give another name or folder: --out FOLDER")
    if find_spec(name) is not None:
        raise UserError(
            f"there is a Python module called '{name}', which {name}.py would hide; give another "
            f"name: unlearnbench new {kind} my_{name}"
        )
    out.mkdir(parents=True, exist_ok=True)
    for file_name, template in templates.items():
        text = (files("unlearnbench.cli") / "templates" / template).read_text(encoding="utf-8")
        (out / file_name).write_text(Template(text).substitute(words), encoding="utf-8")
        click.echo(out / file_name)
    click.echo(f"now run: pytest {out / f'test_{name}.py'}", err=True)


def _names(kind: str, name: str) -> dict[str, str]:
    """What the templates are filled with; raises `UserError` for a name that cannot be used."""
    from unlearnbench import registry

    if not name.isidentifier() or keyword.iskeyword(name) or name != name.lower() or name[0] == "_":
        raise UserError(
            f"'{name}' is no name for a Python file; use lower case letters, then digits and _: "
            f"unlearnbench new {kind} my_{kind}"
        )
    flag = name.replace("_", "-")
    if {name, flag} & set(registry.plugins(f"{kind}s")):
        raise UserError(
            f"there is a {kind} called '{name}' already; give another name "
            f"(all: unlearnbench list {kind}s)"
        )
    words = name.split("_")
    return {
        "name": name,
        "module": name,
        "flag": flag,
        "class_name": "".join(word.capitalize() for word in words),
        "label": " ".join(words).capitalize(),
    }
