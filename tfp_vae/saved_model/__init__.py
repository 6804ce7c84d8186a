"""The SavedModel: its contract, writing one, reading one."""
