import pytest

from tests.fakes.fleet_world import World


@pytest.fixture
def make_world(tmp_path):
    made = []

    def make(*models, **settings):
        made.append(World(tmp_path, *models, **settings))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(make_world):
    return make_world()
