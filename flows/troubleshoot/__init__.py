"""Why somebody cannot log in, what a release broke, who calls an endpoint wrongly: pure, over the trail's events."""
