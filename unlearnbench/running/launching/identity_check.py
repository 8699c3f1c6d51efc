"""Whether this machine would compute what a cell's identity says, or something else under its name.

Every worker checks before it runs a cell.  On the machine of the command, software may have been
edited since the cell was planned; on another one anything may be different.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unlearnbench.errors import UserError
from unlearnbench.experiments.cell import Cell, identity_of, software_of
from unlearnbench.files.software import harness_sha256, package_versions

REMEDY = "every machine needs the same installation as the one that runs the command"


def check_software(expected: Mapping[str, Any]) -> None:
    """Compare the packages and the harness with `expected`, the `software` of an identity.

    Needs no cell, which another version could perhaps not read.  Raises `UserError`
    with what differs.
    """
    here = package_versions()
    planned = expected["packages"]
    different = [
        f"{name} {here.get(name, 'absent')} instead of {planned.get(name, 'none')}"
        for name in sorted({*here, *planned})
        if here.get(name) != planned.get(name)
    ]
    if not different and harness_sha256() != expected["harness"]:
        different = [f"unlearnbench {here['unlearnbench']} with other source"]
    if different:
        raise UserError(f"other software: {', '.join(different)}; {REMEDY}")


def check_here(cell: Cell) -> None:
    """Raise `UserError` if a plugin or unlearnbench was edited since the cell was planned here.

    Or if the device is another one.
    """
    here, planned = software_of(cell), cell.identity["software"]
    if here != planned:
        plugins = here["plugins"].items()
        edited = (f"'{name}'" for name, sha in plugins if planned["plugins"].get(name) != sha)
        raise UserError(
            f"{next(edited, 'unlearnbench')} was edited since this run began; start it again"
        )
    check_device(cell)


def check_paths(paths: Sequence[str]) -> None:
    """Raise `UserError` for the first of these paths that does not exist on this machine."""
    for path in paths:
        if not Path(path).expanduser().exists():
            raise UserError(f"nothing at {path}; put it in a folder that every machine sees")


def check_cell(cell: Cell) -> None:
    """Raise `UserError` if data, plugins, weights or device differ from its plan."""
    from unlearnbench.models.source import find_folder, weights_sha256

    here = identity_of(cell)
    for part, name in (("forget_set", "the forget set"), ("software", "a plugin")):
        if here[part] != cell.identity[part]:
            raise UserError(f"{name} is another one than where the command runs; copy it again")
    model = cell.model
    folder = find_folder(model.requested, model.source.revision, False, model.allow_pickle)
    # One of the hub that is not here yet will be fetched at the recorded revision.
    if folder is not None and weights_sha256(folder) != model.source.weights_sha256:
        raise UserError(
            f"model '{model.requested}' is another one than where the command runs; copy it again"
        )
    check_device(cell)


def paths_of(cell: Cell) -> list[str]:
    """The files and folders on this machine that a cell is going to read."""
    request, data = cell.data.request, cell.data
    named = [
        *(cell.model.requested, request.forget_set, request.rows, request.pool, request.unseen),
        *(request.refusals, *request.runs, data.encoder, data.bert, cell.model.strategy.deepspeed),
        *(request.benchmark, request.data),
        *([] if cell.retrained is None else [cell.retrained.requested]),
        *([] if cell.models is None else [str(Path(cell.models).parent)]),
        *([] if cell.attack is None else filter(_is_text, cell.attack.settings.values())),
    ]
    return [name for name in named if name and Path(name).expanduser().exists()]


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def check_device(cell: Cell) -> None:
    """Raise `UserError` if the device is not of the kind that the numbers are filed under."""
    from unlearnbench.models.devices.device import choose_device

    name = choose_device(cell.model.device)[1]
    if name != cell.model.device_name:
        raise UserError(
            f"its device is '{name}', not '{cell.model.device_name}', and gives other numbers; "
            "run the grid on machines of one kind"
        )
