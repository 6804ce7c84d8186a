"""Files of named arrays that belong to one model: `.npz`, never pickled."""
