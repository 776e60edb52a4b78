"""Why one step takes longer than another, and what would shorten it."""
