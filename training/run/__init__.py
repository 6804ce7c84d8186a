"""A training run: its folder, its loop, its checkpoints, and the signals that end it."""
