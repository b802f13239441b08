"""The configuration: one YAML file under an environment that wins, checked whole before use.

Rule: nothing else in the gateway reads a file or a variable to learn how it should behave, and
every stage gets its own settings object (`gateway.config.settings`), never `Config`.
"""

from gateway.config.loading import demo_config, load
from gateway.config.problems import ConfigInvalid, Problem
from gateway.config.schema import Config

__all__ = ["Config", "ConfigInvalid", "Problem", "demo_config", "load"]
