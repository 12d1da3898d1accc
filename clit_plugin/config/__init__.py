"""From YAML to checked, typed options."""
