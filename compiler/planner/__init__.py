"""The planner: what `auto` becomes where there is more than one way."""
