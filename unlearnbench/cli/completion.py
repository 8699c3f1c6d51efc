"""`unlearnbench completion`: the shell's own completion script."""

import click

_INSTALL = {
    "bash": 'add to ~/.bashrc:  eval "$(unlearnbench completion bash)"',
    "zsh": 'add to ~/.zshrc:  eval "$(unlearnbench completion zsh)"',
    "fish": "run:  unlearnbench completion fish > ~/.config/fish/completions/unlearnbench.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(list(_INSTALL)))
def completion(shell: str) -> None:
    """Print the completion script for a shell."""
    from click.shell_completion import get_completion_class

    from unlearnbench.cli import cli

    found = get_completion_class(shell)
    if found is None:
        raise click.ClickException(f"no completion for {shell}")
    script = found(cli, {}, "unlearnbench", "_UNLEARNBENCH_COMPLETE")
    click.echo(f"# To install, {_INSTALL[shell]}")
    click.echo(script.source())
