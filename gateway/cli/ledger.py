import click


@click.group()
def ledger() -> None:
    """The record of decisions."""
