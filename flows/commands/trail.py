"""`lapwing trail`: what the owner of a trail does with its files and its signing keys."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.compact import compact
from flows.commands.console import result, say
from flows.commands.options import Json, Keys, TrailPlace

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Look after a trail's files and signing keys.",
    add_completion=False,
)
app.command("compact")(compact)


@app.command("rotate-key")
def rotate_key(
    trail: TrailPlace,
    keys: Keys,
    witness: Annotated[
        Path | None, typer.Option("--witness", metavar="DIR|FILE", help="The second place, as archive has it.")
    ] = None,
    json: Json = False,
) -> None:
    """Put a new signing key in the place of the present one, which signs it and is then destroyed.

    May be done while an archive runs. Whoever believes the old key believes the new one; give public-keys.txt, in the
    key directory, to your auditors again all the same.

    \b
    Examples:
      lapwing trail rotate-key --trail trail --keys keys --witness /mnt/witness
    """
    from flows.trail.keys import KeyStore
    from flows.trail.ledger import Ledger
    from flows.trail.store import Store

    with KeyStore.open(Path(keys)) as store:
        Store.open(trail, "events").check_keys(store.identity)
        new = Ledger(trail, Path(keys), store.identity, witness).rotate()
    if json:
        result({"public_key": new.text})
    say(f"{trail}: from now on signed with {new.text}")


@app.command("public-key")
def public_key(keys: Keys) -> None:
    """Print the public keys of a trail, oldest first, for those who verify it.

    \b
    Examples:
      lapwing trail public-key --keys keys > public-keys.txt
    """
    from flows.trail.signing import PUBLIC, read_public_keys

    for key in read_public_keys(Path(keys) / PUBLIC):
        print(key.text)
