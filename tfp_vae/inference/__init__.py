"""Using a trained model, from disk or from memory: NumPy in, NumPy out."""
