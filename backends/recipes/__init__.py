"""The recipe catalogue: NVIDIA's tested configurations, one YAML file each.

A recipe is checked when it is read, so that a typing error is found at the start and not by a
server that dies an hour later; each names the source of its values.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from backends.knobs import doubled, merge

Positive = Annotated[int, msgspec.Meta(ge=1)]
Precision = Literal["nvfp4", "mxfp4", "fp8", "fp8_block", "bf16"]
BUILTIN = Path(__file__).parent
_NAMED = Annotated[str, msgspec.Meta(min_length=1)]


class Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the memory of a request depends on."""

    layers: Positive
    heads: Positive
    kv_heads: Positive
    head_dim: Positive
    latent_dim: Positive | None = None
    """Width of the compressed KV of MLA models (kv_lora_rank + rope); None for others."""


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model, in one precision, as its source runs it."""

    id: _NAMED
    families: list[_NAMED]
    """Names, or globs, that leave the precision open; case does not count."""
    checkpoint: _NAMED
    """Repository that is loaded when a family was asked for."""
    aliases: list[_NAMED] = []
    """Other names, or globs, of the same checkpoint, such as a local directory's."""
    precision: Precision
    sm: list[Positive]
    """Compute capabilities that the source tested, 90 for 9.0."""
    moe: bool = False
    gated: bool = False
    """Its licence must be accepted before it can be downloaded."""
    weights_gb: Annotated[float, msgspec.Meta(gt=0)]
    """10^9 bytes, whole model."""
    kv_bytes: Literal[1, 2]
    """Bytes per KV element when the YAML leaves it to the checkpoint."""
    shape: Shape
    isl: Positive
    osl: Positive
    """Tokens in and out of the load that the values were chosen for."""
    target: Literal["throughput", "latency", "balanced"]
    min_image: _NAMED
    """Oldest release of ``trtllm-serve`` that runs it."""
    env: dict[str, str] = {}
    flags: dict[str, bool | int | float | str]
    """Command-line flags in order, without dashes."""
    yaml: dict[str, Any]
    source: _NAMED

    def matches(self, model: str) -> Literal["checkpoint", "family"] | None:
        """Say whether ``model`` names this checkpoint, its family, or neither."""
        if _named(model, [self.checkpoint, *self.aliases]):
            return "checkpoint"
        return "family" if _named(model, self.families) else None


class RecipeInvalid(ValueError):  # noqa: N818 - names the condition
    """A recipe file cannot be used; the message names the file and the key."""


def _named(model: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(model.lower(), glob.lower()) for glob in globs)


def read_recipe(text: str, name: str) -> Recipe:
    """Read one recipe; ``name`` is its file's name.

    Raises:
        RecipeInvalid: names the file and the key.
    """
    try:
        recipe = msgspec.convert(yaml.safe_load(text), Recipe)
    except yaml.YAMLError as error:
        raise RecipeInvalid(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        key = where.rstrip("`").lstrip(".") or "the file"
        raise RecipeInvalid(f"{name}: {key}: {what}") from None
    _check(recipe, name)
    return recipe


def _check(recipe: Recipe, name: str) -> None:
    if name != f"{recipe.id}.yaml":
        raise RecipeInvalid(f"{name}: id: {recipe.id!r} is not the file's name")
    for knob in doubled(recipe.flags, recipe.yaml):
        raise RecipeInvalid(f"{name}: flags.{knob}: stands in yaml too; keep one of them")
    for key in ("max_batch_size", "max_num_tokens", "max_seq_len", "tp_size"):
        if not isinstance(recipe.flags.get(key), int):
            raise RecipeInvalid(f"{name}: flags.{key}: missing, or not a whole number")
    try:
        merge(recipe.yaml)
    except (AttributeError, TypeError) as error:
        raise RecipeInvalid(f"{name}: yaml: {error}") from None


def read_recipes(*folders: Path) -> Mapping[str, Recipe]:
    """Read the built-in catalogue and then ``folders``; a later recipe of the same id wins.

    Raises:
        RecipeInvalid: a file cannot be used, or a folder cannot be read.
    """
    recipes: dict[str, Recipe] = {}
    for folder in (BUILTIN, *folders):
        if not folder.is_dir():
            raise RecipeInvalid(f"{folder}: not a folder of recipes")
        for file in sorted(folder.glob("*.yaml")):
            recipe = read_recipe(file.read_text(encoding="utf-8"), file.name)
            recipes[recipe.id] = recipe
    return recipes
