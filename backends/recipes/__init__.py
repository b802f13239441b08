"""The catalogue of launch configurations, one YAML file per recipe."""
