import pytest
import yaml

from backends.gpus import parse_spec
from backends.plan import Plan, PlanRequest, plan
from backends.recipes import BUILTIN, RecipeInvalid, read_recipe, read_recipes

GOOD = (BUILTIN / "llama-3.3-70b-fp8.yaml").read_text()


def changed(**keys):
    body = yaml.safe_load(GOOD)
    for key, value in keys.items():
        if value is None:
            del body[key]
        else:
            body[key] = value
    return yaml.safe_dump(body)


def test_the_catalogue_is_read():
    recipes = read_recipes()
    assert {"llama-3.3-70b-fp8", "llama-3.3-70b-nvfp4"} <= set(recipes)
    assert {"llama-3.1-8b-fp8", "llama-3.1-8b-bf16"} <= set(recipes)
    assert all(recipe.source for recipe in recipes.values())


@pytest.mark.parametrize("recipe", read_recipes().values(), ids=lambda recipe: recipe.id)
def test_each_recipe_fits_a_gpu_that_its_source_names(recipe):
    there = parse_spec("8xB200" if 100 in recipe.sm else "8xH200")
    found = plan(PlanRequest(recipe.checkpoint), there, read_recipes())
    assert isinstance(found, Plan)
    assert found.recipe.id == recipe.id
    assert found.fit.tokens > 2 * found.settings.get("max_seq_len")


def test_the_two_llama_70b_recipes_have_the_same_settings_as_in_the_guide():
    fp8, nvfp4 = (read_recipes()[f"llama-3.3-70b-{name}"] for name in ("fp8", "nvfp4"))
    assert (fp8.flags, fp8.yaml) == (nvfp4.flags, nvfp4.yaml)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", r"^x\.yaml: not YAML: "),
        ("- 1", r"^x\.yaml: the file: Expected `object`, got `array`"),
        (changed(surprise=1), r"^x\.yaml: the file: Object contains unknown field `surprise`"),
        (changed(weights_gb=None), r"missing required field `weights_gb`"),
        (changed(weights_gb=-1), r"^x\.yaml: weights_gb: Expected `float` > 0"),
        (changed(precision="fp7"), r"^x\.yaml: precision: Invalid enum value 'fp7'"),
        (changed(shape={"layers": "many"}), r"^x\.yaml: shape\.layers: Expected `int`"),
        (changed(sm=[90, "x"]), r"^x\.yaml: sm\[1\]: Expected `int`, got `str`"),
        (changed(id="y"), r"^x\.yaml: id: 'y' is not the file's name"),
        (changed(id="x", flags={"tp_size": 1}), r"^x\.yaml: flags\.max_batch_size: missing"),
        (
            changed(id="x", yaml={"kv_cache_config": {"free_gpu_memory_fraction": 0.8}}),
            r"^x\.yaml: flags\.kv_cache_free_gpu_memory_fraction: stands in yaml too",
        ),
        (changed(id="x", yaml={"max_seq_len": 1}), r"flags\.max_seq_len: stands in yaml too"),
        (changed(id="x", yaml={"a": 1, "a.b": 2}), r"^x\.yaml: yaml: "),
    ],
)
def test_a_bad_recipe_is_refused_with_file_and_key(text, words):
    with pytest.raises(RecipeInvalid, match=words):
        read_recipe(text, "x.yaml")


def test_own_recipes_are_added_and_win(tmp_path):
    mine = changed(id="mine", families=["mine"], checkpoint="me/mine")
    (tmp_path / "mine.yaml").write_text(mine)
    (tmp_path / "llama-3.3-70b-fp8.yaml").write_text(changed(weights_gb=1.0))
    recipes = read_recipes(tmp_path)
    assert recipes["mine"].matches("MINE") == "family"
    assert recipes["llama-3.3-70b-fp8"].weights_gb == 1.0


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RecipeInvalid, match="nowhere: not a folder"):
        read_recipes(tmp_path / "nowhere")
